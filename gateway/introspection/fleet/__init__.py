"""What the gateways of a fleet share through one Redis: answers about tokens, and revocations.

Redis is trusted with nothing: whatever is read there counts only with a seal that the fleet's own
secret makes, and only while this gateway has heard every revocation since it was written. When
Redis is gone, each gateway goes on with its memory and the authorization servers.
"""

"""Who vouches for a token.

A cache in front of the authorization servers, one call for many requests, and the feed of
revocations that makes the cache forget at once.
"""

"""The client role: signs a person in at any authorization server, and calls with the token.

    transport       HTTP with everything bounded, no redirects, https or loopback
    discovery       what a server or a resource says of itself (RFC 8414, OpenID Connect, RFC 9728)
    pkce            the proof that who redeems a code is who asked for it (RFC 7636)
    loopback        the one-shot listener that a browser comes back to (RFC 8252)
    code_flow       authorization code through the loopback
    device_flow     a code that is typed into a browser elsewhere (RFC 8628)
    token_endpoint  exchange, refresh, revocation (RFC 6749, RFC 7009)
    store           what is remembered, in a file for its owner alone
    session         an account's fresh token, refreshed once however many ask
    call            a request with the token, only to where the token belongs

The person's password is typed into the authorization server's page and never comes here. Errors
are a ClientError, whose message is one line for that person; no message holds a token.
"""

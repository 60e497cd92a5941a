"""The embedded authorization server, on a listener of its own.

    options         what it is told: plain values and callbacks
    server          EmbeddedServer, the room's front door: answers the guard, serves the endpoints
    administration  what the command line does to clients, people and tokens

    endpoints       HTTP outside, one request at a time: form, answer, commit -> publish -> answer
    form            the body's parameters and the client's credentials, strictly read
    cors            which scripts may read the answers
    conversation    one request, one transaction, one answer; and what becomes of reuse
    oauth_server    what Authlib asks of a server: clients, scopes, where tokens go
    grant_types     the four grants, each ending in a claim that only one request wins
    token_endpoints introspection, revocation, device authorization
    resources       RFC 8707: what a token may be for
    errors          every error answer in one table
    metadata        RFC 8414: where the endpoints are
    pages           what people see: templates, words in two languages, colours

    database        engine, transactions, the file
    migration       brings the file to the schema of this version
    tables          the schema
    clients, grants, families, tokens, refresh, devices
                    records, and the statements that read and write them
    lookup          the guard's look-up: one indexed read in threads of its own

Importing this package alone loads nothing heavy: SQLAlchemy, Alembic and Authlib come with
`server` and `administration`, so a gateway without an embedded server never pays for them.
"""

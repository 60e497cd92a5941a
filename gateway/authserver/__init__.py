"""The embedded authorization server, on a listener of its own.

    options          what it is told: plain values and callbacks
    server           EmbeddedServer, the front door: answers the guard, serves the endpoints
    endpoints        HTTP outside, one request at a time: form, answer, commit -> publish -> answer

    oauth/           what programs ask: tokens, introspection, revocation; Authlib's part is here
    people/          what people do: sign in, consent, approve a device, take access back
    pages/           what people see: templates, words in two languages, colours
    administration/  what the command line does to clients, people and tokens

    form             parameters and the client's credentials, strictly read
    resources        RFC 8707: what a token may be for
    errors           every error answer in one table
    metadata         RFC 8414: where the endpoints are

    records/         what rests, one module for each thing: records and their statements
    storage/         the databases, the schema, migrations, the cleaning up

Importing this package alone loads nothing heavy: SQLAlchemy, Alembic and Authlib come with
`server` and `administration`, so a gateway without an embedded server never pays for them.
"""

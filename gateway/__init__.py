"""Gateway: an OAuth 2.0 resource-server guard in front of HTTP services that know nothing of OAuth.

The rooms, from the door inwards; imports go down only:

    cli/            the commands, each thin
    workers/        several processes on the same listeners
    app.py          one configuration becomes one running gateway
    vouching.py     everyone who vouches for tokens
    serving.py      the listeners
    tls.py          what they need to speak TLS
    unix.py         and to be a unix socket
    admin/          the operator's port: metrics and health
    authserver/     the embedded authorization server: endpoints, sign-in and consent, store
    client/         the client's role: login and calls from a terminal, the demo's web application
    middleware/     record and guard: what happens to one request, in order
    proxy/          the upstream side: connections, pool, streaming
    introspection/  who vouches for a token: cache, coalescing, RFC 7662, revocations
    telemetry/      metrics and the access log
    settings/       YAML -> frozen models -> a compiled route table
    policy/         pure decisions: path, route, token, verdict, headers

The walk of one request: `record` starts the clock and the request id; `guard` makes the path
canonical, finds the route, reads the token, asks who vouches for it, decides; a refusal goes
through the one `refuse`; what is allowed goes through `forward` to the upstream and streams back;
`record` writes one log line and the metrics from the one outcome.
"""

__version__ = "0.1.0"

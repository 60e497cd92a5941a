"""Pure decisions: no I/O, no clock, no framework. Everything here can be called from a test alone.

`path` and `host` say what a request asks for, `table` which route that is, `bearer` which token
came with it, `decision` whether that token opens that route, `rejection` what a refusal looks like,
`headers` which header fields cross the gateway. `interfaces` has the protocols that join the rooms.
"""

"""The upstream side: connections of our own on httptools, a keep-alive pool, streaming both ways.

It takes plain values (method, target, raw header pairs, a body to read, a client to write to),
never a request of some framework.
"""

"""What happens to one request, in order: `record` around `guard`, which refuses or forwards.

Each is composed once, at start. `front` is the only file that knows how aiohttp's server works.
"""

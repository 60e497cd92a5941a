"""Order desk: a web site that plays OAuth's client, and shows what it does.

    application  its pages and forms over HTTP
    desk         the OAuth client: asks, takes the code, trades, calls, refreshes, gives back
    recorder     the HTTP of it, which keeps what goes over the wire
    wire         what was kept, without secrets
    sessions     what is remembered of a browser
    orders       what the site is about
    panel        the five steps, as a view of what was kept
    page         the HTML; words_en, words_ko and language have its words

It stands outside: it knows an issuer, a client id and secret, the guard's address and its own, and
imports nothing of the authorization server.
"""

from gateway.client.order_desk.application import create_order_desk
from gateway.client.order_desk.desk import OrderDeskOptions

__all__ = ["OrderDeskOptions", "create_order_desk"]

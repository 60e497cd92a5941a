"""`make soak`: the gateway under steady load, before servers that break connections and die.

service     one of the three servers: it breaks one connection in a hundred, and tells what it got
load        requests at a steady rate, each told from all others
verdict     which failures were to be expected, and which were not
__main__    runs it all, prints the figures and writes results/soak.json
"""

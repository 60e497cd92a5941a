// The eventsource package as its makers ship it, with a token: says what it hears, line by line.
// Arguments: the URL of the stream, the token.

import { EventSource } from 'eventsource'

const [url, token] = process.argv.slice(-2)

const source = new EventSource(url, {
  fetch: (input, init) =>
    fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }),
})
source.onopen = () => console.error('open')
source.onmessage = (event) => console.error(`heard ${event.data}`)
source.onerror = (event) => console.error(`error ${event.code}`)

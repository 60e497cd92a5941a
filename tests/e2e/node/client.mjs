// openid-client, as its makers ship it, against the authorization server of the first argument.
// It says what it wants in lines of JSON, and reads from standard input where the browser came back.
import { createInterface } from 'node:readline';
import * as client from 'openid-client';

const [issuer, secret, scope] = process.argv.slice(-3);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => (await lines.next()).value;
const say = (members) => console.log(JSON.stringify(members));
const redirect_uri = 'http://127.0.0.1:4711/callback';
const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] };
const refusal = (promise) => promise.then(
  () => { throw new Error('not refused'); },
  (error) => error.error ?? error.code ?? String(error),
);

const config = await client.discovery(new URL(issuer), 'npm', undefined, client.None(), options);
const resource = await client.discovery(
  new URL(issuer), 'resource', undefined, client.ClientSecretBasic(secret), options,
);
const isActive = async (token) => (await client.tokenIntrospection(resource, token)).active;

async function authorize() {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope,
    state: expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  });
  say({ authorize: url.href });
  return [new URL(await read()), { pkceCodeVerifier, expectedState }];
}

// An answer of another issuer, and one that does not say whose it is, are not taken.
const [back, checks] = await authorize();
for (const [name, change] of [
  ['foreign iss', (url) => url.searchParams.set('iss', 'https://evil.example')],
  ['no iss', (url) => url.searchParams.delete('iss')],
]) {
  const changed = new URL(back);
  change(changed);
  say({ [name]: await refusal(client.authorizationCodeGrant(config, changed, checks)) });
}
const first = await client.authorizationCodeGrant(config, back, checks);
say({ scope: first.scope, expires_in: first.expires_in, active: await isActive(first.access_token) });
const told = await client.tokenIntrospection(resource, first.access_token);
say({ client_id: told.client_id, username: told.username, iss: told.iss });

const second = await client.refreshTokenGrant(config, first.refresh_token);
say({ rotated: second.refresh_token !== first.refresh_token });
const third = await client.refreshTokenGrant(config, second.refresh_token);
say({ 'reuse refused': await refusal(client.refreshTokenGrant(config, first.refresh_token)) });
say({ 'family after reuse': await isActive(third.access_token) });

const device = await client.initiateDeviceAuthorization(config, { scope });
say({ user_code: device.user_code, verification_uri: device.verification_uri });
const fourth = await client.pollDeviceAuthorizationGrant(config, device);
say({ 'device active': await isActive(fourth.access_token) });

await client.tokenRevocation(config, fourth.refresh_token);
say({ 'after revocation': await isActive(fourth.access_token) });
say({ 'refresh after revocation': await refusal(client.refreshTokenGrant(config, fourth.refresh_token)) });
process.exit(0);

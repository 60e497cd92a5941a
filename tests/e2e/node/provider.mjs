// node-oidc-provider, as its makers ship it, with its own pages for development.
// Arguments: the port, the lifetime of access tokens in seconds, and perhaps the public key (a JWK)
// of the client `guard-key`, and the server's own keys (a private JWKS).
import { Provider } from 'oidc-provider';

const [port, lifetime] = process.argv.slice(1, 3).map(Number);
const key = process.argv[3];
const jwks = process.argv[4] ? JSON.parse(process.argv[4]) : undefined;
const issuer = `http://127.0.0.1:${port}`;
const device = 'urn:ietf:params:oauth:grant-type:device_code';

const provider = new Provider(issuer, {
  ...(jwks ? { jwks } : {}),
  clients: [
    {
      client_id: 'gateway-cli',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'refresh_token', device],
      response_types: ['code'],
    },
    {
      client_id: 'confidential',
      client_secret: 'a secret: with +, % and /',
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'refresh_token', device],
      response_types: ['code'],
    },
    {
      client_id: 'machine',
      client_secret: 'the-secret-of-the-machine',
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
      scope: 'orders:read',
    },
    {
      client_id: 'guard-post',
      client_secret: 'a secret: with +, % and /',
      token_endpoint_auth_method: 'client_secret_post',
      redirect_uris: [],
      response_types: [],
      grant_types: [],
    },
    ...(key
      ? [
          {
            client_id: 'guard-key',
            token_endpoint_auth_method: 'private_key_jwt',
            jwks: { keys: [JSON.parse(key)] },
            redirect_uris: [],
            response_types: [],
            grant_types: [],
          },
        ]
      : []),
    {
      client_id: 'guard',
      client_secret: 'the-secret-of-the-guard',
      redirect_uris: [],
      response_types: [],
      grant_types: [],
    },
  ],
  scopes: ['openid', 'offline_access', 'orders:read', 'orders:write'],
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: {
      enabled: true,
      allowedPolicy: (ctx, client) => client.clientId.startsWith('guard'),
    },
    revocation: { enabled: true },
    ...(jwks
      ? {
          resourceIndicators: {
            enabled: true,
            defaultResource: () => undefined,
            getResourceServerInfo: (ctx, resource) => ({
              scope: 'orders:read',
              audience: resource === 'urn:orders-api' ? 'orders-api' : resource,
              accessTokenTTL: lifetime,
              accessTokenFormat: 'jwt',
              jwt: { sign: { alg: jwks.keys[0].alg } },
            }),
          },
        }
      : {}),
  },
  ttl: { AccessToken: lifetime, AuthorizationCode: 60, DeviceCode: 600 },
  cookies: { keys: ['a key of this test'] },
});
provider.on('server_error', (ctx, error) => console.error(error));
provider.listen(port, '127.0.0.1', () => console.error(`listening at ${issuer}`));

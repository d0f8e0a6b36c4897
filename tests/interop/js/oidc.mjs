// node-oidc-provider as an identity provider, with its own development pages: any user name, any password.
// Prints {"issuer": ...} when it listens; ends with its stdin.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const grants = ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"];
const native = {
  application_type: "native", token_endpoint_auth_method: "none", grant_types: grants, response_types: ["code"],
};
const provider = new Provider(issuer, {
  clients: [
    { ...native, client_id: "native", redirect_uris: ["http://127.0.0.1/callback", "http://localhost/callback"] },
    { ...native, client_id: "custom", redirect_uris: ["com.example.app:/callback"] },
    {
      ...native, client_id: "confidential", client_secret: "canary-secret", redirect_uris: ["http://127.0.0.1/callback"],
      token_endpoint_auth_method: "client_secret_post",
    },
    {
      ...native, client_id: "usual", client_secret: "canary-secret", redirect_uris: ["http://127.0.0.1/callback"],
      token_endpoint_auth_method: "client_secret_basic",
    },
    { ...native, client_id: "elsewhere", redirect_uris: ["http://127.0.0.1/callback"] },
  ],
  features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
  pkce: { required: () => true },
  scopes: ["openid", "offline_access"],
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  cookies: { keys: ["a key of these tests"] },
});
const seen = { authorizations: 0, tokens: {} };
provider.on("grant.success", (context) => {
  const kind = context.oidc.params.grant_type;
  seen.tokens[kind] = (seen.tokens[kind] ?? 0) + 1;
});
const handle = provider.callback();
server.on("request", (request, response) => {
  if (request.url === "/seen") {
    response.end(JSON.stringify(seen));
    return;
  }
  if (request.url.startsWith("/auth?")) seen.authorizations += 1;
  handle(request, response);
});
process.stdin.resume().on("end", () => process.exit(0));
console.log(JSON.stringify({ issuer }));

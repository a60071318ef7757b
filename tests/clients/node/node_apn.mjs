// Pushes with @parse/node-apn, unmodified. It takes a certificate only on a direct connection: by a
// proxy it shows none and does not pass on its option `ca` (NODE_EXTRA_CA_CERTS is read instead), so
// by the proxy it proves itself with a bearer token.
//
// Usage: node node_apn.mjs direct|proxy. Prints one line for each case, `case<TAB>what was seen`.
// NODE_PATH does not lead modules to packages, so the folder they are in comes as CLIENTS.

import { createRequire } from "node:module";

const of = name => process.env[name];
const apn = createRequire(`${of("CLIENTS")}/node/`)("@parse/node-apn");

const direct = {
  cert: of("CERTIFICATE"),
  key: of("KEY"),
  ca: of("CA"),
  address: "127.0.0.1",
  port: Number(of("GATEWAY_PORT")),
};
const byProxy = {
  token: { key: of("PROVIDER_KEY"), keyId: of("KEY_ID"), teamId: of("TEAM_ID") },
  production: true,
  proxy: { host: "127.0.0.1", port: Number(of("PROXY_PORT")) },
};
const provider = new apn.Provider(process.argv[2] === "proxy" ? byProxy : direct);

// The library tells its logger, and nobody else, of connections and of GOAWAY.
let connections = 0;
let goaway = "";
provider.client.setLogger(
  Object.assign(line => {
    if (line === "Session connected") connections += 1;
  }, { enabled: true }),
  Object.assign(line => {
    if (line.startsWith("GOAWAY")) goaway = line;
  }, { enabled: true })
);

async function push(token, padding = 0) {
  const note = new apn.Notification();
  note.topic = of("TOPIC");
  note.pushType = "mdm";
  note.payload = { mdm: of("MAGIC") };
  if (padding > 0) note.payload.padding = "x".repeat(padding);
  const { sent, failed } = await provider.send(note, token);
  if (sent.length === 1) return "200";
  const { status, response, error } = failed[0];
  if (!response) return `failed: ${error}`;
  return [status, response.reason, response.timestamp].filter(Boolean).join(" ");
}

const say = (name, seen) => console.log(`${name}\t${seen}`);
say("accepted", await push(of("TOKEN_GOOD")));
say("bad-token", await push(of("TOKEN_BAD")));
say("gone", await push(of("TOKEN_GONE")));
say("too-large", await push(of("TOKEN_GOOD"), 5000));
const before = connections;
const ended = await push(of("TOKEN_PARTING"));
say("goaway", `${goaway}; ${ended}`);
const again = await push(of("TOKEN_PARTING"));
say("reconnect", connections > before ? again : `${again} on the old connection`);
await provider.shutdown();
process.exit(0);

// A shell through the library ssm-session, as its README shows: node session.mjs, with the StartSession reply in
// SESSION (JSON) and what is to be typed in TYPED. Prints the output and ends when it has seen UNTIL.
import { createRequire } from "node:module";
import WebSocket from "ws";

const { ssm } = createRequire(import.meta.url)("ssm-session");
const { StreamUrl, TokenValue } = JSON.parse(process.env.SESSION);
const termOptions = { rows: 34, cols: 97 };
const connection = new WebSocket(StreamUrl);
connection.binaryType = "arraybuffer";
let seen = "";
let typed = false;

connection.onopen = () => ssm.init(connection, { token: TokenValue, termOptions });
connection.onerror = (error) => {
  console.error(error.message);
  process.exit(1);
};
connection.onmessage = ({ data }) => {
  const message = ssm.decode(data);
  ssm.sendACK(connection, message);
  if (message.payloadType === 17) ssm.sendInitMessage(connection, termOptions);
  if (message.payloadType !== 1) return;
  const text = new TextDecoder().decode(message.payload);
  process.stdout.write(text);
  seen += text;
  if (!typed) {
    typed = true;
    ssm.sendText(connection, new TextEncoder().encode(process.env.TYPED));
  }
  if (seen.includes(process.env.UNTIL)) process.exit(0);
};
connection.onclose = () => process.exit(0);

// Run by aws-runas in its default mode: the SDK's own chain finds the endpoint in the environment.
// Prints identity and key id; with a number as argument it goes on until it has seen so many keys.
import { STSClient, GetCallerIdentityCommand } from "@aws-sdk/client-sts";

const wanted = Number(process.argv[2] ?? 1);
const client = new STSClient({});
const keys = new Set();
const end = Date.now() + 60_000;
while (keys.size < wanted && Date.now() < end) {
  const { Arn } = await client.send(new GetCallerIdentityCommand({}));
  const { accessKeyId } = await client.config.credentials();
  if (!keys.has(accessKeyId)) {
    keys.add(accessKeyId);
    console.log(Arn, accessKeyId);
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
}
process.exit(keys.size < wanted ? 1 : 0);

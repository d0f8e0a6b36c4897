// Asks STS who it is, again and again, with the credentials that the SDK's own chain finds and renews.
// identity.mjs TIMES KEYS [PARALLEL]: ends after TIMES rounds once KEYS different access keys were seen, or after 60 s.
// Instance metadata is given ten seconds instead of one: a hundred clients on a busy machine need them for themselves.
// Prints one JSON document: how many calls, which identities, which keys.
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { fromNodeProviderChain } from "@aws-sdk/credential-providers";

const [times, keys, parallel] = process.argv.slice(2).map(Number);
const clients = Array.from({ length: parallel || 1 }, () => new STSClient({ credentials: fromNodeProviderChain({ timeout: 10000 }) }));
const seen = { calls: 0, arns: new Set(), keys: new Set() };
const end = Date.now() + 60000;
while ((seen.calls < times || seen.keys.size < keys) && Date.now() < end) {
  await Promise.all(clients.map(async client => {
    let answer;
    try {
      answer = await client.send(new GetCallerIdentityCommand({}));
    } catch (error) {
      if (error.name !== "ExpiredToken") throw error;
      return; // where an hour lasts seconds, credentials may end on the way from the SDK to STS
    }
    seen.calls += 1;
    seen.arns.add(answer.Arn);
    seen.keys.add((await client.config.credentials()).accessKeyId);
  }));
  await new Promise(resolve => setTimeout(resolve, 50));
}
console.log(JSON.stringify({ calls: seen.calls, arns: [...seen.arns], keys: [...seen.keys] }));

// Reads a JSON list of configurations on stdin; writes what the extension's own parser makes of each, or its error.
import { readFileSync } from "node:fs";
import { ConfigParser } from "aesr-config";

const answers = JSON.parse(readFileSync(0, "utf8")).map((text) => {
  try {
    return { profiles: ConfigParser.parseIni(text) };
  } catch (error) {
    return { error: error.message };
  }
});
process.stdout.write(JSON.stringify(answers));

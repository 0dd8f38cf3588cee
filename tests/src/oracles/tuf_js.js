// The client of tuf-js as a judge. One case a line on standard input, one verdict a line on standard output.
//
// Nothing is fetched: the case holds the files of each step. Read next: `../oracles.rs`, which asks.
"use strict";

const fs = require("fs");
const os = require("os");
const path = require("path");
const readline = require("readline");

const BASE = "http://mirror";

/** The library, from where node looks for it or from where npm puts what is installed for everyone. */
function library() {
  const places = [path.join(path.dirname(process.execPath), "../lib/node_modules"), "/usr/local/lib/node_modules"];
  const found = require.resolve("tuf-js", { paths: [process.cwd(), ...(process.env.NODE_PATH || "").split(":"), ...places] });
  const { DownloadHTTPError } = require(path.join(path.dirname(found), "error.js"));
  return { ...require(found), DownloadHTTPError, version: version(found) };
}

function version(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, "package.json");
    if (fs.existsSync(manifest)) return JSON.parse(fs.readFileSync(manifest)).version;
  }
}

const { BaseFetcher, DownloadHTTPError, Updater, version: number } = library();

/** Serves the files of one step. */
class Held extends BaseFetcher {
  constructor(files) {
    super();
    this.files = files;
  }

  async downloadBytes(url, most) {
    const held = this.files[url.slice(BASE.length + 1)];
    if (held === undefined) throw new DownloadHTTPError("not there", 404);
    const bytes = Buffer.from(held, "base64");
    if (bytes.length > most) throw new Error("too long");
    return bytes;
  }
}

/** `LENGTH SHA256` of a listed file, `none`, or `error: why`. */
async function found(updater, target) {
  try {
    const info = await updater.getTargetInfo(target);
    if (info === undefined) return "none";
    const digest = info.hashes.sha256;
    return digest ? `${info.length} ${digest.toLowerCase()}` : "error";
  } catch (error) {
    return `error: ${error.name}: ${error.message}`.slice(0, 200);
  }
}

/** What the client says of each step, with the metadata that it keeps between them. */
async function judge(given) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "judge-"));
  const verdicts = [];
  try {
    fs.writeFileSync(path.join(folder, "root.json"), Buffer.from(given.root, "base64"));
    for (const files of given.steps) {
      let updater;
      try {
        updater = new Updater({ metadataDir: folder, metadataBaseUrl: BASE, fetcher: new Held(files) });
        await updater.refresh();
      } catch (error) {
        verdicts.push({ refreshed: false, found: [], said: `${error.name}: ${error.message}`.slice(0, 200) });
        continue;
      }
      const listed = [];
      for (const target of given.paths) listed.push(await found(updater, target));
      verdicts.push({ refreshed: true, found: listed, said: "" });
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
  return verdicts;
}

(async () => {
  console.log(`tuf-js ${number}`);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await judge(JSON.parse(line))));
  }
})();

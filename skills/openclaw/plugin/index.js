// gait-gate: asks Gait before each tool call.  Plain ESM for OpenClaw 2026.3.28 and later, without dependencies.
//
// Invariant: a call goes on only when Gait answered `allow` in time.  Whatever else happens is a veto: a throw, a late, garbled or
// missing answer, unreadable settings.  Hosts before 2026.9 run the tool when a hook throws, so nothing may leave this file as a throw.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, constants, lstatSync, mkdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
const [ID, HERE] = ["gait-gate", dirname(fileURLToPath(import.meta.url))];
const LAST = -1_000_000_000; // after every other plugin's hook, whose changes to the arguments are then judged too
const [MAX_ANSWER, MAX_OUTCOMES] = [1 << 20, 8 << 20]; // bytes
const APPEND = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
const EXIT_CODES = { allow: 0, block: 3, require_approval: 4, dry_run: 9 };
const PACKAGE = ["skill", "skill_public_key", "skill_private_key"]; // the signed package that the agent's calls come from
const TEXTS = ["policy", "home", "identity", "workspace", "risk_class", "server", "token_env", "key_mode", "private_key", "approval_key", ...PACKAGE];
const HELP = "Do not try it again unchanged; tell the operator, who can run `gait openclaw doctor`.";
const refusal = (why) => `Gait vetoed this call, since it got no decision: ${String(why).slice(0, 600)}. ${HELP}`;
const approve = (v) => `Ask a person to run \`gait approve --intent-digest ${v.approval_digest ?? v.intent_digest} --policy-digest ${v.policy_digest} --scope tool:NAME\`, then make the same call again.`;
const veto = (reason) => ({ block: true, blockReason: reason });

// What the installer wrote beside this file, and the operator's own skill_config.json.  Read at each call: edits need no restart.
function settings(workspace) {
  const place = JSON.parse(readFileSync(join(HERE, "gait-gate.json"), "utf8"));
  for (const name of ["python", "skill_dir", "home", "workspace"]) if (typeof place[name] !== "string") throw Error(`gait-gate.json: ${name} must be a text`);
  const given = JSON.parse(readFileSync(join(place.skill_dir, "skill_config.json"), "utf8"));
  const known = { schema_id: "", schema_version: "", deadline_seconds: 8, server_required: false, ...Object.fromEntries(TEXTS.map((name) => [name, ""])) };
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(known, name)) throw Error(`skill_config.json: unknown key ${name}`);
    if (typeof given[name] !== typeof known[name]) throw Error(`skill_config.json: ${name} must be a ${typeof known[name]}`);
  }
  const config = { ...known, ...given };
  if (!(config.deadline_seconds >= 0.5 && config.deadline_seconds <= 12)) throw Error("skill_config.json: deadline_seconds must be 0.5 to 12");
  const defaults = { policy: "policy.yaml", home: place.home, workspace: workspace || place.workspace, identity: "openclaw", risk_class: "high" };
  for (const name of Object.keys(defaults)) config[name] ||= defaults[name];
  for (const name of ["policy", ...PACKAGE]) if (config[name]) config[name] = resolve(place.skill_dir, config[name]);
  if (config.server && PACKAGE.some((name) => config[name])) throw Error("skill_config.json: with a server, the package is the server's to verify: gait mcp serve --skill");
  return { place, config };
}

// The call as Gait's openclaw adapter reads it; the arguments exactly as the host gave them.
function eventOf(event, ctx, config) {
  const { toolName: name, params = {} } = event;
  if (typeof name !== "string" || !name) throw Error("the host named no tool");
  if (typeof params !== "object" || !params || Array.isArray(params)) throw Error("the host gave no arguments object");
  const told = { toolName: name };
  for (const key of ["agentId", "sessionId", "sessionKey"]) if (typeof ctx?.[key] === "string") told[key] = ctx[key];
  const call = { toolName: name, params, cwd: config.workspace, ctx: told };
  const ids = { toolCallId: event.toolCallId ?? ctx?.toolCallId, runId: event.runId ?? ctx?.runId };
  for (const key of Object.keys(ids)) if (typeof ids[key] === "string" && ids[key]) call[key] = ids[key];
  return JSON.stringify(call);
}

// Where `gait mcp serve` runs: on this host only, since a decision by another one could be forged on the way.
function target(address) {
  if (address.startsWith("unix:")) {
    const socketPath = address.slice(5);
    const status = lstatSync(socketPath);
    if (!status.isSocket() || ![0, process.getuid()].includes(status.uid)) throw Error("not this user's socket");
    return { socketPath, headers: { host: "localhost" } };
  }
  const found = /^(127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})$/.exec(address);
  if (!found) throw Error("expected unix:/path or a loopback host:port");
  const host = { "[::1]": "::1", localhost: "127.0.0.1" }[found[1]] ?? found[1];
  return { host, port: Number(found[2]), headers: { host: address } };
}

// The service's decision, or null when it gave none.
function ask(config, text, ms) {
  return new Promise((done) => {
    try {
      const place = target(config.server);
      const context = { identity: config.identity, workspace: config.workspace, risk_class: config.risk_class };
      const body = `${JSON.stringify({ adapter: "openclaw", context }).slice(0, -1)},"call":${text}}`;
      const headers = { ...place.headers, "content-type": "application/json", "content-length": Buffer.byteLength(body), connection: "close" };
      if (config.token_env) headers.authorization = `Bearer ${process.env[config.token_env]}`;
      const request = http.request({ ...place, headers, method: "POST", path: "/v1/evaluate", agent: false }, (response) => {
        const parts = [];
        let size = 0;
        response.on("data", (part) => (size += part.length) > MAX_ANSWER ? request.destroy() : parts.push(part));
        for (const end of ["error", "close"]) response.on(end, () => done(null));
        response.on("end", () => done(decision(response.complete, parts)));
      });
      const timer = setTimeout(() => request.destroy(), ms);
      request.on("close", () => { clearTimeout(timer); done(null); });
      request.on("error", () => done(null));
      request.end(body);
    } catch { done(null); }
  });
}

function decision(complete, parts) {
  try {
    const value = JSON.parse(Buffer.concat(parts).toString("utf8"));
    const is = complete && value.ok === true && Object.hasOwn(EXIT_CODES, value.verdict) && value.exit_code === EXIT_CODES[value.verdict];
    if (!is || "simulated_verdict" in value || typeof value.trace_id !== "string" || !value.trace_id) return null;
    if (value.verdict === "allow") return {};
    const why = [].concat(value.reason_codes ?? [], value.violations ?? []).map(String).join(", ").slice(0, 600);
    const [said, help] = value.verdict === "require_approval" ? ["Gait: a person must approve this call first", approve(value)] : ["Gait blocked this call", HELP];
    return veto(`${said}; because of ${why || value.verdict}; trace ${value.trace_id}. ${help}`);
  } catch { return null; }
}

// The decision of one process, `gait hook openclaw`.
function run(place, config, text, ms) {
  return new Promise((done) => {
    const words = ["-I", join(place.skill_dir, "gait.py"), "hook", "openclaw", `--deadline=${Math.max(ms / 1000 - 0.3, 0.2)}`];
    const told = ["policy", "home", "identity", "workspace", "risk_class", "key_mode", "private_key", "approval_key", ...PACKAGE].filter((name) => config[name]);
    words.push(...told.map((name) => `--${name.replaceAll("_", "-")}=${config[name]}`));
    const child = spawn(place.python, words, { stdio: ["pipe", "pipe", "pipe"], cwd: "/" });
    const kept = { stdout: "", stderr: "" };
    const timer = setTimeout(() => { child.kill("SIGKILL"); done(veto(refusal("it took too long"))); }, ms);
    for (const name of ["stdout", "stderr"]) {
      child[name].setEncoding("utf8");
      child[name].on("data", (part) => { if (kept[name].length < MAX_ANSWER) kept[name] += part; });
    }
    for (const stream of child.stdio) stream.on("error", () => {});
    child.on("error", (error) => { clearTimeout(timer); done(veto(refusal(error.message))); });
    child.on("close", (code) => { clearTimeout(timer); done(answered(code, kept)); });
    child.stdin.end(text);
  });
}

function answered(code, kept) {
  try {
    const value = code === 0 ? JSON.parse(kept.stdout) : {};
    if (value.block === false && Object.keys(value).length === 1) return {};
    if (value.block === true) return veto(String(value.blockReason || refusal("no reason was given")));
  } catch {} // no answer
  return veto(refusal(kept.stderr.trim().replace(/^gait: the call is refused: /, "") || `exit code ${code}`));
}

// The agent's workspace as the host has it: that of `agent exec --cwd`, and of an agent with its own, is not the default one.
function workspaceOf(host, ctx) {
  const own = [].concat(host?.agents?.list ?? []).find((agent) => agent?.id === ctx?.agentId)?.workspace ?? host?.agents?.defaults?.workspace;
  return typeof own === "string" ? own.replace(/^~(?=\/|$)/, () => homedir()) : "";
}

async function judge(host, event, ctx) {
  const { place, config } = settings(workspaceOf(host, ctx));
  const text = eventOf(event, ctx, config);
  const until = Date.now() + config.deadline_seconds * 1000;
  const found = config.server ? await ask(config, text, config.deadline_seconds * (config.server_required ? 1000 : 400)) : null;
  if (found) return found;
  if (config.server && config.server_required) return veto(refusal(`no answer from the Gait service at ${config.server}`));
  return run(place, config, text, Math.max(until - Date.now(), 500));
}

const judged = new Map(); // when the trusted policy allowed a call, so that the hook right after it need not ask again
const keyOf = (event, ctx) => JSON.stringify([event.toolCallId ?? ctx?.toolCallId, ctx?.sessionKey ?? ctx?.sessionId, event.toolName, event.params]);

// The same call, unchanged, of a moment ago.  A call without an id of its own cannot be told from another one.
function wasJudged(event, ctx) {
  try {
    const key = keyOf(event, ctx), at = judged.get(key);
    return judged.delete(key) && Boolean(event.toolCallId ?? ctx?.toolCallId) && Date.now() - at < 30_000;
  } catch { return false; } // it cannot be compared, so it is judged
}

// Everything is inside the try, also reading the host's settings: a rejection would let the tool run on an older host.
async function gate(api, event, ctx, isFirst) {
  try {
    const result = await judge(api.config, event, ctx);
    if (result.block) return result;
    if (isFirst) judged.set(keyOf(event, ctx), Date.now());
    if (judged.size > 1000) judged.delete(judged.keys().next().value);
    return undefined;
  } catch (error) { return veto(refusal(typeof error?.message === "string" ? error.message : "the plugin failed")); }
}

// What became of a call, for the operator: a line with its toolCallId, which is the request_id of the signed decision.  Not signed.
function outcome(event, ctx) {
  try {
    const folder = join(settings().config.home || join(homedir(), ".gait"), "openclaw");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const text = JSON.stringify(event.result ?? null);
    const status = event.result?.details?.status === "blocked" ? "blocked" : event.error ? "error" : "ok";
    const line = {
      at: new Date().toISOString(), toolName: event.toolName, toolCallId: event.toolCallId ?? ctx?.toolCallId ?? "", runId: event.runId ?? "",
      status, result_sha256: createHash("sha256").update(text).digest("hex"), result_bytes: Buffer.byteLength(text), duration_ms: event.durationMs ?? null,
    };
    const path = join(folder, "outcomes.jsonl");
    if ((lstatSync(path, { throwIfNoEntry: false })?.size ?? 0) < MAX_OUTCOMES) appendFileSync(path, JSON.stringify(line) + "\n", { mode: 0o600, flag: APPEND });
  } catch {} // the call is over: nothing can be stopped any more
}

export default {
  ...{ id: ID, name: "Gait gate", description: "Asks Gait before each tool call and vetoes what its policy does not allow." },
  register(api) {
    try {
      api.registerTrustedToolPolicy?.({ id: ID, description: "Gait's policy", evaluate: (event, ctx) => gate(api, event, ctx, true) });
    } catch {} // a host that refuses it: the hook below asks for every call, and a plugin that fails to load would leave tools ungated
    const hook = (event, ctx) => (wasJudged(event, ctx) ? undefined : gate(api, event, ctx, false));
    api.on("before_tool_call", hook, { priority: LAST, timeoutMs: 14_000 });
    try { api.on("after_tool_call", outcome); } catch {} // it records only
  },
};

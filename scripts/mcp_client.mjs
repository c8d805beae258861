// A client made with the JavaScript MCP SDK: what mcp_client.py is for Python.
//
//     node mcp_client.mjs '{"url": URL, "sdk": FOLDER} | {"command": [WORDS], "env": {…}, "cwd": FOLDER, "sdk": FOLDER}'
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const given = JSON.parse(process.argv[2]);
const part = (path) => import(pathToFileURL(`${given.sdk}/dist/esm/${path}`).href);
const { Client } = await part("client/index.js");
const { CreateMessageRequestSchema, ElicitRequestSchema } = await part("types.js");

const client = new Client({ name: "gait-integration", version: "1" }, { capabilities: { sampling: {}, elicitation: {} } });
let asked = [];
client.setRequestHandler(CreateMessageRequestSchema, async (request) => {
  asked.push(`sampling ${request.params.maxTokens}`);
  return { role: "assistant", content: { type: "text", text: "from the model" }, model: "stand-in" };
});
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  asked.push(`elicitation ${request.params.message}`);
  return { action: "accept", content: { name: "Ada", integer: 7 } };
});

async function transport() {
  if (given.url) {
    const { StreamableHTTPClientTransport } = await part("client/streamableHttp.js");
    return new StreamableHTTPClientTransport(new URL(given.url));
  }
  const { StdioClientTransport } = await part("client/stdio.js");
  const [command, ...args] = given.command;
  return new StdioClientTransport({ command, args, env: given.env, cwd: given.cwd });
}

const steps = {
  async tools() {
    return { tools: (await client.listTools()).tools };
  },
  async call({ name, arguments: args, progress }) {
    const seen = [];
    asked = [];
    const options = progress ? { onprogress: (told) => seen.push([told.progress, told.total ?? 0]) } : {};
    const result = await client.callTool({ name, arguments: args }, undefined, options);
    return { result, asked, progress: seen };
  },
  async read({ uri }) {
    return await client.readResource({ uri });
  },
  async prompt({ name, arguments: args }) {
    return await client.getPrompt({ name, arguments: args });
  },
};

const tell = (value) => process.stdout.write(JSON.stringify(value) + "\n");
await client.connect(await transport());
tell({ version: client.transport?.protocolVersion ?? "", server: client.getServerVersion()?.name ?? "" });
for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  try {
    tell(await steps[step.do](step));
  } catch (error) {
    tell({ error: { code: error.code ?? 0, message: String(error.message) } });
  }
}
await client.close();

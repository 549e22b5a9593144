// The work of a client in JavaScript, beside which ours is measured: split into lines, JSON.parse each, and for
// `replay` fold them into a list of blocks.
// node reference.js decode|replay FILE: prints {"ms": of the work, "rss": bytes at most}.
"use strict";
const fs = require("node:fs");

function fold(blocks, tools, entry) {
  const message = entry.notification ?? entry.message;
  const update = message?.params?.update;
  if (!update) {
    blocks.push({ kind: message?.method ?? "response", message });
    return;
  }
  const last = blocks[blocks.length - 1];
  switch (update.sessionUpdate) {
    case "agent_message_chunk":
    case "agent_thought_chunk":
      if (last?.kind === update.sessionUpdate) last.text += update.content.text;
      else blocks.push({ kind: update.sessionUpdate, text: update.content.text });
      break;
    case "tool_call":
    case "tool_call_update": {
      const known = tools.get(update.toolCallId);
      if (known) Object.assign(known, update);
      else {
        const block = { kind: "tool", ...update };
        tools.set(update.toolCallId, block);
        blocks.push(block);
      }
      break;
    }
    default:
      blocks.push({ kind: update.sessionUpdate, update });
  }
}

function work(file, folds) {
  const blocks = [], tools = new Map(), entries = [];
  const decoder = new TextDecoder();
  let rest = "";
  const handle = fs.openSync(file, "r");
  const piece = Buffer.alloc(65536);
  for (let count; (count = fs.readSync(handle, piece)) > 0; ) {
    rest += decoder.decode(piece.subarray(0, count), { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const entry = JSON.parse(line);
      if (folds) fold(blocks, tools, entry);
      else entries.push(entry);
    }
  }
  fs.closeSync(handle);
  return blocks.length + entries.length;
}

const [, , what, file] = process.argv;
const begin = process.hrtime.bigint();
work(file, what === "replay");
const ms = Number(process.hrtime.bigint() - begin) / 1e6;
console.log(JSON.stringify({ ms, rss: process.resourceUsage().maxRSS * 1024 }));

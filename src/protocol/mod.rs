//! Words on the wire: what clients, agents and endpoints say to each other, as types.
//!
//! Pure. No I/O, no async, no time; uses nothing of the other rooms.
//!
//! The rest of this page is the wire itself, version 1, for people who write a client, an agent side or an endpoint of
//! their own. "Contract 10.3" in other places means section 10.3 here. Sections 1 to 9 are the `sync` protocol of
//! January 2026 as we speak it; section 10 is what we add. Whoever knows only sections 1 to 9 is served as described
//! there. Fields are only ever added; unknown fields, methods and statuses are kept and never an error. `null` means the
//! same as a missing field, unless a row says otherwise.
//!
//! # 1. Routes and errors
//!
//! `P` = `/api/projects/{project}`, an integer. `R` = `P/tasks/{task}/runs/{run}`, both UUIDs. Every route is taken with
//! and without a slash at its end, and never redirects. All but signed URLs and `/health` want
//! `Authorization: Bearer <token>`; `Content-Type: application/json` is accepted anywhere.
//!
//! | route | who | what |
//! |---|---|---|
//! | `GET /api/users/@me/` | client | who the token is; `team.id` is the project; ours: `working` names the user's runs at work |
//! | `GET, POST P/tasks/` | client | list, create (2) |
//! | `GET, PATCH, DELETE P/tasks/{task}/` | client | one task; delete hides it |
//! | `POST P/tasks/{task}/run/` | client | a run, created and started at once; answers the task |
//! | `GET, POST P/tasks/{task}/runs/` | client | list, create (2) |
//! | `GET, PATCH R/` | client, agent side | one run |
//! | `PATCH R/set_output/` | agent side | merges into `output` |
//! | `GET R/sync` | client, agent side | the stream (3) |
//! | `POST R/sync` | client | one command (3, 10.2); 202, empty |
//! | `POST R/append_log` | agent side | lines into the journal (4, 10.3) |
//! | `GET R/logs` | all | the journal (4, 10.1) |
//! | `GET, PUT R/file_manifest/` | client, agent side | the whole tree, newest first; `?of=seed` (6, 10.4) |
//! | `POST R/artifacts/`, `artifacts/presign/`, `artifacts/download/` | foreign clients | files as text (6) |
//! | `HEAD, GET, PUT R/blobs/{sha256}`, `POST R/blobs/missing`, `blobs/pack` | client, agent side | files as bytes (10.4) |
//! | `PUT R/secrets` | client | replaces the environment of the agent (10.3) |
//! | `POST R/heartbeat` | foreign agents | `{"status":"ok"}` |
//! | `GET /health?nonce=N` | anyone | alive, and an HMAC of the nonce to prove which endpoint this is |
//!
//! A failure has a JSON body: `{"error":"a sentence"}`, or `{"type","code","detail","attr"}` where a field is at fault.
//! A reader shows `error`, else `detail`, else the status, and survives a body that is neither. 400: the body does not
//! fit. 401, 403, 404: final, the user must do something. 409: it cannot be done now, the sentence says why. 413: too
//! large (10.1). 429 and 5xx: try again later. Success bodies are JSON, apart from POST sync (empty) and a manifest that
//! is not there (204).
//!
//! # 2. Tasks and runs
//!
//! A task is what was asked for, a run is one execution of it. Lists come as
//! `{"count","next","previous","results"}`, newest first; a reader also takes a bare array and pages until `next` is
//! null. Types: [`task::Task`], [`task::NewTask`], [`run::Run`], [`run::NewRun`].
//!
//! A run's `status` is `not_started`, `queued`, `in_progress`, then one of `completed`, `failed`, `cancelled`. Any other
//! word is kept and is not terminal. `environment` is `cloud` (the default) or `local`. `state` and `output` are objects
//! that a PATCH merges key by key. A terminal status stamps `completed_at`, and a later message may still reopen the run.
//! `output.pr_url` is the pull request: the link in the output of a shell call whose command had `gh pr create`.
//!
//! # 3. Sync: the stream and the commands
//!
//! `GET R/sync` answers `text/event-stream`. In the default view each event is one `data:` line and one `id:` line, in
//! this order, LF only, in one write, without a name; `data` is the bare JSON-RPC message. A comment keeps the stream
//! alive every 15 s. The `id` is the line's number in the journal, so ids have gaps where a line is not sent: the default
//! view leaves out client messages, prompt requests and responses.
//!
//! | `Last-Event-ID` | the stream begins |
//! |---|---|
//! | absent | with what happens from now on |
//! | `N` | with the first line after N, then live: no gap, no repeat. `0` is the whole journal |
//! | not a number, or beyond the end | with what happens from now on |
//!
//! `X-Sync-Ids: log-sequence` on the answer says that the ids are these numbers. **Without that header they mean
//! nothing** (the reference counts per connection, loses and repeats events): open the stream without an id and buffer,
//! read `logs`, drop what the buffer's head and the log's tail have in common, go on live. The end of a run comes as
//! `_posthog/task_complete` or `_posthog/error`; the stream stays open.
//!
//! `POST R/sync` takes one JSON-RPC object and answers 202 with an empty body when it is in the journal:
//!
//! ```json
//! {"jsonrpc":"2.0","id":"8f0c…","method":"_posthog/user_message","params":{"content":"Now add a test"}}
//! ```
//!
//! | method | params | does |
//! |---|---|---|
//! | `_posthog/user_message` | `content`, a string; ours also `blocks` | one prompt, after those before it |
//! | `_posthog/cancel` | none | ends the turn that runs |
//! | `_posthog/close` | none | ends the run |
//!
//! `jsonrpc` and `id` may be missing; unknown methods are journaled and ignored. A body that is no object, or whose
//! `params` do not fit, is 400. See [`command::Command`].
//!
//! # 4. The journal
//!
//! One append-only log per run is the truth. Line *k*, counted from 1, has sequence *k* for ever. One JSON object per
//! line, LF between them. `GET R/logs` answers it as `application/jsonl`. The first two lines are written, all four are
//! read:
//!
//! ```json
//! {"type":"notification","timestamp":"2026-01-19T12:00:01.250Z","notification":{"jsonrpc":"2.0","method":"…"}}
//! {"type":"client_message","timestamp":"…","id":"<command>","from":"ana@laptop","message":{"jsonrpc":"2.0","method":"…"}}
//! {"type":"agent_event","event":{"jsonrpc":"2.0","method":"…"}}
//! {"type":"heartbeat","timestamp":"…"}
//! ```
//!
//! Inside stands any JSON-RPC message: a notification, a request from the client's side, a response. A turn is framed by
//! its request and response lines, which carry the same `id`:
//!
//! ```json
//! {"jsonrpc":"2.0","id":4,"method":"session/prompt","params":{"sessionId":"…","prompt":[{"type":"text","text":"Fix it"}]}}
//! {"jsonrpc":"2.0","id":4,"result":{"stopReason":"end_turn"}}
//! ```
//!
//! Stop reasons: `end_turn`, `max_tokens`, `max_turn_requests`, `refusal`, `cancelled`. A turn that broke has an `error`
//! instead of the `result`. The wrapper of a line that the endpoint wrote by itself has `"from":"endpoint"`; a line of
//! the agent side has `src` (10.3). [`mod@line`] writes lines, [`normalize`] reads them.
//!
//! A log of raw ACP traffic may hold each update twice, under the agent's session id and under the run's. A reader drops
//! the second of two equal updates with different session ids that stand close together.
//!
//! # 5. Events
//!
//! ## 5.1 Updates of the agent
//!
//! `{"method":"session/update","params":{"sessionId","update":{"sessionUpdate":<kind>, …}}}`, as ACP has them:
//!
//! | kind | fields | means |
//! |---|---|---|
//! | `agent_message_chunk`, `agent_thought_chunk`, `user_message_chunk` | `content`, a block; `messageId?` | a piece of text; pieces join by `messageId`, else with the open text of their kind |
//! | `tool_call` | `toolCallId`, `title`, `kind?`, `status?`, `content?`, `locations?`, `rawInput?`, `rawOutput?` | a call |
//! | `tool_call_update` | `toolCallId` and any of these | what is there replaces, the rest stays; an unknown id creates the call |
//! | `plan` | `entries[]` of `content`, `priority`, `status` | the whole plan |
//! | `available_commands_update` | `availableCommands[]` of `name`, `description`, `input.hint?` | slash commands |
//! | `current_mode_update` | `currentModeId` | |
//! | `config_option_update` | `configOptions[]`, `select` or `boolean` | all options |
//! | `session_info_update` | `title?` | here null clears |
//! | `usage_update` | `used`, `size`, `cost.amount?` | tokens in the context and its size |
//! | `notice` | `severity`, `title`, `description?` | one line |
//! | `compaction_update`, `compaction_summary_chunk` | `compactionId`, `status`, `summary?`, `error?`; `content` | the context was shortened |
//!
//! A block is `text`, `image`, `audio`, `resource_link` or `resource`. Tool kinds are `read edit delete move search
//! execute think fetch switch_mode ask other`, statuses `pending in_progress completed failed`. Tool content is a block,
//! a `diff` (`path`, `oldText`, `newText`) or a `terminal`. `_meta.claudeCode` may name the tool (`toolName`), its
//! answer (`toolResponse`) and what the shell was told (`bashCommand`).
//!
//! ## 5.2 Updates beside ACP
//!
//! `system_message` and `status` are status lines, `error` is an error line. `agent_message` is a whole message and takes
//! the place of the pieces it was built from; `user_message` is a whole message of the user; `tool_result` completes a
//! call. A piece that opens a message with exactly `[connected] ` or `[error] ` is a status line too.
//!
//! ## 5.3 Notifications of the run
//!
//! All `_posthog/…`. A doubled underscore is taken as one, `_array/…` as the same.
//!
//! | method | params |
//! |---|---|
//! | `run_started` | `runId`, `agentVersion?`, ours: `promptCapabilities?` as ACP has them: ready for prompts |
//! | `turn_complete` | `stopReason`; follows the response line, and stands alone where responses are not sent |
//! | `task_complete` | `taskId`, ours also `status`; the run is over |
//! | `error` | `message`, `detail?` |
//! | `file_sync` | one changed file (6, 10.4) |
//! | `permission_request`, `permission_response` | (8) |
//! | `branch_created`, `pr_created` | `branch`; `prUrl` |
//! | `progress` | `step`, `status`, `label`, `detail?`, `group`: the foreign cousin of a step |
//! | `status`, `compact_boundary` | `status`, `isComplete?`; `trigger`, `preTokens?` |
//! | `console`, `sandbox_output`, `user_shell_execute` | `level`, `message`; `stdout`, `stderr`, `exitCode`; `command`, `result` |
//! | `tree_snapshot` | `treeHash`, `filesChanged[]`, `filesDeleted[]` |
//!
//! `sdk_session`, `git_commit`, `git_checkpoint`, `task_notification`, `usage_update`, `artifact`, `phase_start`,
//! `phase_complete`, `agent_question` and `mode_change` are known and not shown. Any other method, or one of these with
//! a field of the wrong type, is kept raw and shown as one dim line.
//!
//! ## 5.4 Reading any line
//!
//! 1. UTF-8, bad bytes become U+FFFD; trimmed; JSON. An unpaired surrogate escape is repaired once. What still is no JSON
//!    is counted, and reading goes on.
//! 2. Unwrap by `type` (4). No `type`: the value is the message.
//! 3. `id` and `method` is a request, `id` with `result` or `error` a response, `method` alone a notification, `error`
//!    alone a failure of the stream.
//! 4. An update is looked for in `params.update`, in `params` itself, under its kind as a key of `params`
//!    (`{"agent_message_chunk":{"text":"Hi"}}`), and under its kind as the method.
//! 5. Text may stand in `content` as a block, a string or a list of blocks, or in `text`.
//! 6. The oldest tool call has `id`, `name`, `input`; the oldest agent says `agent_status` and `agent_response`.
//! 7. An unknown tool kind is `other`, an unknown tool status `pending`.
//! 8. A field of the wrong type keeps the whole event raw. Nothing is refused for a field too many.
//!
//! # 6. Files
//!
//! ```json
//! {"method":"_posthog/file_sync","params":{"type":"file_modified","relativePath":"src/a.rs","path":"…","contentHash":"<sha256>","storagePath":"files/<sha256>","size":1834}}
//! ```
//!
//! `type` is `file_created`, `file_modified` or `file_deleted`; a delete has no hash. `contentHash` is the lower-case hex
//! SHA-256 of the bytes. `path` is the sender's own and never used. A reader refuses a `relativePath` that is absolute,
//! has a drive, a backslash, NUL or `..`, or touches `.git` in any spelling, and a change without a hash: one line each,
//! and nothing is written ([`path::RelPath`], [`file::FileChange`]). It verifies the hash before a file is in place.
//!
//! The manifest ([`file::FileManifest`]) is a whole tree: `{"version":1,"base_commit","updated_at","files":{path:
//! {"hash","size"}},"deleted_files":[]}`. Foreign clients upload text through `artifacts/` (the answer lists what this
//! request brought) and fetch through `presign/`, which takes a storage path or the name that was asked for, and answers
//! a URL that expires and needs no token.
//!
//! # 7. The life of a run
//!
//! Created, provisioned (10.3), prompted, idle, over. A message, an event or a running turn resets the idle limit.
//! `close` ends a run at once. A message to a run that has ended starts it again where the endpoint can; where it cannot,
//! the answer is 409 with the reason. An agent that dies is reported by `_posthog/error`, and its turn gets an error
//! response.
//!
//! # 8. Permissions
//!
//! Policy of a run: `auto` (the default on the wire) picks an option of an `allow_*` kind, `ask` relays, `deny` picks a
//! `reject_*` one. Questions and plans are always relayed. A request that is relayed waits until somebody answers, its
//! turn ends, or the run is over.
//!
//! ```json
//! {"method":"_posthog/permission_request","params":{"requestId":"…","toolCallId":"t9","title":"Run tests","kind":"execute","options":[{"kind":"allow_once","optionId":"allow","name":"Allow"}],"rawInput":{}}}
//! {"method":"_posthog/permission_response","params":{"requestId":"…","toolCallId":"t9","optionId":"allow","from":"ana@laptop"}}
//! ```
//!
//! Option kinds: `allow_once allow_always reject_once reject_always`. `optionId` `_cancelled` means none of them.
//! `requestId` names the question; in a foreign log, which has none, the tool call does. A question that has been seen
//! or answered is not opened again by a replay.
//!
//! # 9. The model
//!
//! The wire says nothing of models, keys or gateways: they are the agent's, and reach it as environment (10.3).
//!
//! # 10. Ours
//!
//! ## 10.1 Headers and views
//!
//! | where | what |
//! |---|---|
//! | every answer | `X-Ashore-Wire: 1`, `X-Ashore-Version: <semver>`: a client learns from `@me` with whom it speaks, and sends secrets, a seed or an empty description only here |
//! | `GET R/logs?after=N` | the lines N+1 to `X-Last-Seq`, fixed when the answer begins; sequence = N + line index; beyond the end: nothing. `X-Sync-Ids`, `X-Keepalive: 15` stand there too |
//! | `GET R/sync?view=journal` | every line in its wrapper |
//! | `GET R/sync?view=commands` | client messages only, for the agent's token |
//! | both views | `event: hello` `{"last_seq","keepalive"}` first; `event: keepalive` `{}` when idle; `event: error` `{"error"}` on a failure, also when the token was revoked meanwhile; `event: end` `{"status"}` when the run is over, and only `commands` closes then. These have no `id`. An event without a name is an entry and has one |
//! | sizes | a body at most 1 MiB, else 413; a line at most 256 KiB |
//!
//! A client always sends `Last-Event-ID` to these views, also `0`, and takes 2.5 times the keepalive without any event
//! for a dead link. A sender keeps lines within the limit itself: it stores the whole message as a blob, cuts the longest
//! strings (a tree of small things becomes null) and names the blob in `_meta.ashore.blobs` ([`line::fit`],
//! [`line::name_blob`]). From a foreign sender the endpoint cuts.
//!
//! The user's words stand up to three times in a journal: in the client message, in the prompt request, and in the
//! agent's echo. All three carry the command's id (`id` of the wrapper, `params._meta.ashore.command`,
//! `update._meta.ashore.command`), so that they are drawn once. Where ids are missing the words themselves are compared.
//!
//! ## 10.2 Commands
//!
//! Every command of ours has a UUID as `id`, its key for ever: posting it again answers 202 and appends nothing.
//!
//! | method | params |
//! |---|---|
//! | `_posthog/user_message` | `content`, `blocks?` (ACP content blocks); a block above 64 KiB of JSON lies in a blob, and its stand-in, with its strings cut, names the hash in `_meta.ashore.blob` ([`heavy`]) |
//! | `_posthog/permission_response` | `requestId`, `toolCallId`, `optionId`, `customInput?`; the first answer wins, later ones are 409 with who gave it |
//! | `_ashore/set_mode`, `_ashore/set_config_option` | `modeId`; `configId`, `value` |
//! | `_ashore/queue_edit` | `command`, `content?`, `blocks?`: a waiting message gets other words and keeps its place |
//! | `_ashore/queue_remove` | `command`: takes a waiting message out of the queue |
//! | `_ashore/queue_move` | `command`, `before`: to before that waiting message, or with null to the end |
//! | `_ashore/steer` | `command`: the waiting message runs now; the turn that is open at this line is cancelled for it |
//! | `_ashore/file_changed` | `changes[]` of `relativePath`, `contentHash` or null, `size`, `mode`, `baseHash` or null, `baseMode` or null |
//! | `_ashore/presence` | `attached`, `readOnly`; not journaled, told to whoever follows `view=journal` |
//!
//! A command is *taken* when its `session/prompt` request stands in the journal. A waiting message is changed only before
//! that; later, or when it was removed, the answer is 409 with the reason. Words that were changed while the message was
//! being taken run as a prompt of their own, under the change's id: its request names it in `_meta.ashore.edit`.
//!
//! The endpoint names in `ends`, in the wrapper of a cancel or a steer, what that ends: by a number the turn that is open
//! at this line, which is the JSON-RPC id of its request; else (for a cancel) by its id the next waiting message that no
//! cancel has ended, in whatever words. The agent side ends that and nothing else, however late it hears of it.
//!
//! `_ashore/file_changed` is posted behind the blobs it names. Each path of it is answered once, with the command's id:
//!
//! | answer | params |
//! |---|---|
//! | `_ashore/file_applied` | `relativePath`, `contentHash` or null, `size`, `mode`, `baseHash` or null, `baseMode` or null, `command`: it stands there now |
//! | `_ashore/file_refused` | `relativePath`, `currentHash` or null, `currentMode` or null, `size`, `command`, `reason?`: something else stands there, told before |
//! | `_ashore/file_failed` | `relativePath`, `reason`, `command`: it can never be applied there |
//!
//! A folder has mode `040000` and the hash of nothing. A change is applied where what stands there is its base, and is
//! answered `applied` where it stands there already: a client that gave way after a refusal says so in this way. No prompt
//! that stands behind a change is taken before the change is answered. A run whose agent server is at rest is not
//! started by one: it waits in the journal.
//!
//! A client says `_ashore/presence` when it attaches and at least every 60 s, and `attached: false` when it leaves. It
//! may name itself by a UUID in the header `Ashore-Client` of these and of its `GET sync?view=journal`; then the end of
//! its last stream ends its presence too. Everyone who follows that view is told behind `hello`, and at every change:
//!
//! ```text
//! event: presence
//! data: {"clients":[{"from":"ana@laptop","readOnly":false,"client":"<uuid, if it named one>"}]}
//! ```
//!
//! ## 10.3 The agent side
//!
//! It has a run token that opens its one run. Batches to `append_log` (`{"entries":[…]}`) carry
//! `Ashore-Batch: <uuid of this start>:<number of the first line>`; line *j* is stored with `"src":"<uuid>:<number>"`,
//! and lines whose number was stored before are skipped, so a batch can be sent again.
//!
//! | message | params |
//! |---|---|
//! | `_ashore/step` | `step` (`queued sandbox workspace agent`), `status` (`started done failed`), `detail?`, `hint?` |
//! | `_ashore/status` | `status`, `message?`: how the run stands, by the endpoint; a later `in_progress` reopens it |
//! | `_ashore/note` | `message`: one line for the user |
//! | `_ashore/file_failed` | `relativePath`, `reason`: a file that can never be stored |
//!
//! The response of a turn and its `turn_complete` follow every `file_sync` of that turn, each after its blob is stored.
//! Where nobody could look at the files any more, they carry `_meta.ashore.unscanned: true`.
//!
//! `POST tasks/` and `runs/` take an `Idempotency-Key`; a repeat returns the first answer. `state.agent` names the agent,
//! `state.agent_command` a whole command line (local endpoint only), `state.permissions` the policy, `state.directory`
//! with `environment: local` the directory to work in. `secrets` is a map of environment variables for the agent; it is
//! never journaled, logged or returned.
//!
//! ## 10.4 Files by hash
//!
//! `file_sync` gains `mode` (`100644`, `100755`, `120000` with the target as content, `040000`), `baseHash` (what stood
//! there before, or null), `turn` and `toolCallId`. One path per entry. `storagePath` is `files/<sha256>`.
//!
//! `PUT R/blobs/{sha256}` streams and checks: 409 when the bytes have another hash. `POST R/blobs/missing`
//! `{"hashes":[…]}`, at most 10,000, answers `{"missing":[…]}`. Blobs younger than a day are never collected.
//!
//! `POST R/blobs/pack` `{"hashes":[…]}`, at most 1,000, answers many small contents in one body (`pack`): of each its hash
//! (32 bytes), its length (4 bytes, the highest first) and its bytes. Left out is what is not there, has more than 256 KiB,
//! or finds no room in 8 MiB: it is asked for by its own name. An endpoint that does not know the route is asked so for all.
//!
//! A manifest of ours has `mode` per file, and `bundle` (the blob of a git bundle), `head`, `branch`, `remotes`. A run
//! made with `state.seed: "manifest"` waits at step `workspace` until its manifest is there; the PUT is refused with the
//! list of hashes as long as a blob is missing.
//!
//! When a run ends the endpoint writes a fresh manifest: the seed with every `file_sync` and `file_applied` of the journal
//! folded over it, without files whose bytes it never got. From then on the plain `GET R/file_manifest/` answers that
//! one, and `GET R/file_manifest/?of=seed` still what was PUT, which is a mirror's first base; both are 204 when there
//! is none. Agent sides and mirrors of ours ask for the seed by name.

pub mod acp;
pub mod amend;
pub mod command;
mod cut;
pub mod entry;
pub mod file;
pub mod form;
pub mod hash;
pub mod heavy;
pub mod ids;
pub mod launch;
pub mod line;
pub mod message;
pub mod normalize;
pub mod pack;
pub mod path;
pub mod presence;
pub mod presets;
pub mod run;
pub mod task;

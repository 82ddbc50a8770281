/** Every bound on what the other end can grow, in one place: name, unit, reason. */

// ── SSE codec ───────────────────────────────────────────────────────────────────────────────────
/** Bytes of one line; original agents drop the connection past it. */
export const SSE_LINE_BYTES_MAX = 262_143
/** Bytes of the joined `data` of one event; original agents drop the connection past it. */
export const SSE_EVENT_BYTES_MAX = 1_048_576
/** Bytes of one pushed `data:` line; leaves an original's line limit room for the field name. */
export const SSE_DATA_LINE_BYTES_MAX = 256_000
/** Raw bytes of one block: an event at its limit with every line's overhead fits; endless fields without data do not. */
export const SSE_BLOCK_BYTES_MAX = 2_097_152
/** Lines of one block, comments inside it too: bounds what empty `data` lines cost, and pings that hide a stuck event. */
export const SSE_BLOCK_LINES_MAX = 65_536
/** Longest `retry:` that is reported, ms: a timer beyond 2^31-1 fires at once in Node and browsers. */
export const SSE_RETRY_MS_MAX = 2_147_483_647

// ── Messages ────────────────────────────────────────────────────────────────────────────────────
/** Bytes of a JSON reply of the agent API: originals cut it there and then fail for ever. */
export const REPLY_BYTES_MAX = 1_048_576
/** Bytes of a request body of the agent API: 1,000 tasks with messages fit. */
export const AGENT_BODY_BYTES_MAX = 1_048_576
/** Bytes of a request body of the operator API: a task's input and a control's arguments fit. */
export const OPERATOR_BODY_BYTES_MAX = 262_144
/** Characters of an agent id or a task id: they stand in paths, logs and control ids. */
export const ID_CHARS_MAX = 128
/** Characters of a verb. */
export const ACTION_CHARS_MAX = 64
/** Bytes of a control's arguments as JSON: eight thousand controls of this size never meet; one must fit in a line. */
export const CONTROL_ARGS_BYTES_MAX = 16_384
/** Bytes of a task's input as JSON: it travels in a sync's reply with up to `NEW_TASKS_PER_SYNC_MAX` others. */
export const TASK_INPUT_BYTES_MAX = 65_536
/** Characters of any sentence the other end supplies (error messages, progress messages, reasons); longer ones are cut. */
export const MESSAGE_CHARS_MAX = 1_024
/** Nesting of JSON that is accepted anywhere; deeper is refused before it is walked by recursion. */
export const JSON_DEPTH_MAX = 64
/** Highest epoch or revision that is believed: it leaves both ends room to count on without losing a bit of a double. */
export const REVISION_MAX = 1_125_899_906_842_624
/** Tasks in one sync's report; the rest are ignored, so that one sync has bounded cost. */
export const TASKS_PER_SYNC_MAX = 1_000
/** Outcomes, receipts or local decisions in one sync; the agent sends the rest in the next one. */
export const REPORTS_PER_SYNC_MAX = 256
/** Controls in one sync reply or one pushed command. */
export const CONTROLS_PER_MESSAGE_MAX = 256
/** New tasks in one sync reply; the rest come with the next one. */
export const NEW_TASKS_PER_SYNC_MAX = 8

// ── Time ────────────────────────────────────────────────────────────────────────────────────────
/** Default period of a stream's heartbeats, ms; original agents expect at least one frame in 40 s. */
export const HEARTBEAT_MS_DEFAULT = 15_000
/** Shortest heartbeat period, ms: below it heartbeats cost more than they tell. */
export const HEARTBEAT_MS_MIN = 50
/** Longest heartbeat period, ms: two must fit in an original's 40 s. */
export const HEARTBEAT_MS_MAX = 20_000
/** A stream is silent after this many heartbeat periods without a frame. */
export const LIVENESS_HEARTBEATS = 2.5
/** Bounds of the liveness deadline, ms, whatever heartbeat a server advertises. */
export const LIVENESS_MS_MIN = 5_000
export const LIVENESS_MS_MAX = 120_000
/** Time for a JSON request from dialling to the last byte of the reply, ms; originals give up after 30 s. */
export const REQUEST_MS_MAX = 30_000
/** Time for name look-up, TCP, a proxy and TLS of one connection, ms: a dropped SYN fails over within seconds; SYNs are sent again after 1 s and 3 s. */
export const CONNECT_MS_MAX = 5_000
/** Time for TCP with one of a host's several addresses before the next one is tried, ms: a lost SYN is sent again after 1 s. */
export const CONNECT_ADDRESS_MS = 1_500
/** Time for `deregister`, ms: it is the last thing that an agent does. */
export const DEREGISTER_MS_MAX = 5_000
/** Bounds of the reconnect delay, ms: the ceiling of the first try's jitter, and of any later one's. */
export const RECONNECT_MS_MIN = 500
export const RECONNECT_MS_MAX = 60_000
/** Good stream, ms, after which earlier failures are forgotten. */
export const STREAM_PROVEN_MS = 60_000
/** A stream that ends sooner than this without an event has failed, ms: a proxy that answers and closes must meet backoff. */
export const STREAM_EARLY_END_MS = 1_000
/** Longest `retry:` or `Retry-After` that is honoured, ms. */
export const RETRY_MS_MAX = 300_000
/** Bounds of the window over which agents spread their first reconnects when a stream is lost, ms. */
export const RECONNECT_WINDOW_MS_MIN = 2_000
export const RECONNECT_WINDOW_MS_MAX = 300_000
/** After its slot, or the window, a hub that refuses is still expected to come back for so long, ms, and that is no failure. */
export const SLOT_GRACE_MS = 10_000
/** Over which part of that time, ms, at most, agents that were refused at their slots spread. */
export const SLOT_SPREAD_MS_MAX = 8_000
/** Bounds of the pace a hub may set by `nextSyncMs`, ms. */
export const NEXT_SYNC_MS_MIN = 1_000
export const NEXT_SYNC_MS_MAX = 300_000
/** The last sync of an agent that stops, ms. */
export const LAST_SYNC_MS_MAX = 5_000
/** Longest `?wait=`, ms: below the idle time-out of common proxies. */
export const WAIT_MS_MAX = 55_000
/** Default and longest time to live of a control, ms. `cancel` has none by default. */
export const CONTROL_TTL_MS_DEFAULT = 3_600_000
export const CONTROL_TTL_MS_MAX = 2_592_000_000
/** An original's `resume` is handed out at most once in this time, ms (its handler syncs at once, R-42). */
export const ORIGINAL_RESUME_MS = 10_000

// ── Agent ───────────────────────────────────────────────────────────────────────────────────────
/** Events of a stream that are decoded and wait for their reader; what is behind them stays as it came (back-pressure). */
export const STREAM_EVENTS_WAITING_MAX = 8
/**
 * Frames of its streams in a second that an agent bears, and how many at once after a rest: many times what a hub sends
 * to one agent. What floods would take a whole core, and V8 would grow its heap for all that garbage.
 */
export const STREAM_FRAMES_PER_S_MAX = 1_000
export const STREAM_FRAMES_BURST = 10_000
/** Syncs in a second that nudges of a stream lead to, and how many at once after a rest: a hub takes 50 requests a second of one agent. */
export const NUDGES_PER_S_MAX = 20
export const NUDGES_BURST = 20
/** Bytes kept of an error reply's body. */
export const ERROR_BODY_BYTES_MAX = 1_024
/** Time to read an error reply's body, ms. */
export const ERROR_BODY_MS_MAX = 5_000
/** Bytes of a reply's headers. */
export const RESPONSE_HEADER_BYTES_MAX = 16_384
/** Headers of one reply, repeated ones each by themselves. */
export const RESPONSE_HEADERS_MAX = 128
/** Interim (1xx) replies before a reply: each one costs an agent more than it costs the server. */
export const INTERIM_REPLIES_MAX = 8
/** Bytes on the wire from a request, or from one frame of a stream, to the next frame: a block at `SSE_BLOCK_BYTES_MAX` in chunks of one byte fits. */
export const RAW_BYTES_WITHOUT_FRAME_MAX = 16_777_216
/** Bytes of one buffer that a connection is read into, as much as the system hands over at once. */
export const READ_BUFFER_BYTES = 65_536
/** Such buffers that are kept for the next connection: those of a few connections, beside a reply at its bound. */
export const SPARE_READ_BUFFERS_MAX = 24
/** Time that an agent keeps a connection without a request unless the server says how long it does, ms: many proxies close it after 5 s. */
export const KEPT_CONNECTION_MS_DEFAULT = 4_000
/** Longest such time that is believed, ms, and how much earlier the connection is given up: a request that meets the close would be lost. */
export const KEPT_CONNECTION_MS_MAX = 600_000
export const KEPT_CONNECTION_MARGIN_MS = 2_000
/** Mirrors of a hub: one call may try them all. */
export const MIRRORS_MAX = 8
/** Shortest share of a call's time that one of several mirrors gets, ms: as long as a connection may take. */
export const MIRROR_TRY_MS_MIN = 5_000
/** Bounds of the time on another mirror before the first one is tried again, ms; it doubles with each try that fails. */
export const MIRROR_HOME_MS_MIN = 60_000
export const MIRROR_HOME_MS_MAX = 900_000
/** Time for a `wake` from dialling to the reply, ms: longer than it is held (`WAKE_HOLD_MS_MAX`), by a slow connect. */
export const WAKE_MS_MAX = 35_000
/** A `wake` that was held so long, ms, is asked again at once, whatever ended it; a shorter one only after `WAKE_REST_MS`, or a server that holds none would be asked in a tight loop. */
export const WAKE_HELD_MS = 10_000
export const WAKE_REST_MS = 2_000
/** Bounds of the rest after a `wake` that was answered true, ms: until a sync was answered it would be true again. */
export const WAKE_AGAIN_MS_MIN = 100
export const WAKE_AGAIN_MS_MAX = 1_000
/** Failures of the stream in a row after which an agent falls back to `wake`; those where nobody was reached do not count. */
export const STREAM_FAILURES_MAX = 3
/** Bounds of the time between two probes of the stream by an agent that uses `wake`, ms; it doubles with each that fails. */
export const PROBE_MS_MIN = 30_000
export const PROBE_MS_MAX = 300_000
/** A probed stream is taken back once it has brought frames on time for so many heartbeat periods. */
export const PROBE_HEARTBEATS = 3
/** A frame is late after so many heartbeat periods. */
export const LATE_HEARTBEATS = 1.5
/** How often the holder of a state directory shows life to those who cannot see its process, how long it may show none, and how often they look, ms. */
export const LOCK_BEAT_MS = 10_000
export const LOCK_SILENT_MS = 30_000
export const LOCK_WATCH_MS = 1_000
/** Time for which an exchange whose reply may have been lost is repeated, ms: well within `ENROLLMENT_REPEAT_MS`. */
export const ENROLL_PATIENCE_MS = 60_000
/** Time between two words of a revocation before it is believed, ms: an outage of what lies between, or of a hub that forgot, is over by then. */
export const REVOCATION_CONFIRM_MS = 30_000
/** Least time between two requests for another key, ms: a disk that is full stays so for a while. */
export const KEY_ROTATION_RETRY_MS = 60_000
/** A heartbeat that comes so many periods after it was written, and not less than so long, ms, was held back: less harms nobody, and a busy machine may need it. */
export const LATE_LAG_HEARTBEATS = 0.5
export const LATE_LAG_MS_MIN = 2_000
/** A stream that was taken back and fails within this time, ms, must prove itself for twice as long the next time, at most `PROBE_DOUBLINGS_MAX` times twice. */
export const STREAM_TRUSTED_MS = 600_000
export const PROBE_DOUBLINGS_MAX = 4
/** Streams in a row that end in order, each before `STREAM_PROVEN_MS`, before that counts as failure: no hub plans so. */
export const SHORT_STREAMS_MAX = 3
/** How often a clock is looked at for a gap, ms, by which it shows that this machine was suspended. */
export const CLOCK_GAP_CHECK_MS = 5_000
/** Controls that are being applied or whose outcome the hub has not acknowledged; past it new ones wait at the hub. */
export const LEDGER_CONTROLS_MAX = 4_096
/** Lanes whose high-water mark is kept after their task ended; the oldest go first. */
export const LEDGER_LANES_MAX = 8_192
/** A lane's high-water mark outlives its task by this time, ms. */
export const LANE_RETENTION_MS = 86_400_000
/** Bytes of the journal at which it is rewritten from the state; more only if the state itself is large. */
export const JOURNAL_BYTES_MAX = 4_194_304
/** The same line of a log, of either end, is written so often in that time, ms; a hub that is away for a night, or its disk, must not fill another. */
export const LOG_REPEATS_MAX = 5
export const LOG_WINDOW_MS = 60_000
/** Different lines of a log whose repeats are counted; beyond, the least recent is forgotten. */
export const LOG_LINES_KNOWN_MAX = 256
/** Shortest time between two writes of an agent's status file, and the longest while it runs, ms: a reader takes silence for a hang. */
export const STATUS_FILE_MS_MIN = 500
export const STATUS_FILE_MS_MAX = 30_000
/** Wait before a control that the journal could not take is asked of the hub again, ms: a full disk must not make a storm. */
export const JOURNAL_ASK_AGAIN_MS = 5_000
/** An append that takes longer than this is told as trouble, ms: a disk that hangs says nothing by itself. */
export const JOURNAL_SLOW_MS = 10_000
/** Damaged journals that are kept for whoever looks; the oldest go first. */
export const JOURNALS_ASIDE_MAX = 3
/** Local decisions that the hub has not acknowledged; past it the oldest is no longer reported: its lane still refuses what it made stale. */
export const LEDGER_DECISIONS_MAX = 4_096
/** Ended tasks whose id is remembered once the hub knows their end, so that a late control learns that it is too late. */
export const DROPPED_TASKS_MAX = 1_024
/** Nesting of a task's result; inside a sync it must stay within `JSON_DEPTH_MAX`, or the hub would refuse every sync. */
export const TASK_RESULT_DEPTH_MAX = 56
/** Bytes of outcomes as JSON in one sync, and bytes of its body kept free for who the agent is: all stays within `AGENT_BODY_BYTES_MAX`. */
export const SYNC_OUTCOMES_BYTES_MAX = 262_144
export const SYNC_ENVELOPE_BYTES = 65_536
/** A task that was told to end so long ago and has not is shown as unresponsive, ms: longer than `TERMINATE_GRACE_MS`. */
export const UNRESPONSIVE_MS = 30_000
/** Longest time limit of a task, ms: a timer beyond it would fire at once. */
export const TASK_TIME_LIMIT_MS_MAX = 2_147_483_647
/** Longest that a stopping agent waits for controls that are being applied, ms: a verb of the application may never return. */
export const STOP_CONTROLS_MS_MAX = 2_000
/** Tasks that an agent holds at once, running or finished and not yet acknowledged. */
export const AGENT_TASKS_MAX = 1_000
/** Lines and bytes of a task's log that are kept. */
export const TASK_LOG_LINES_MAX = 500
export const TASK_LOG_LINE_BYTES_MAX = 4_096
/** Bytes of log tail that one sync carries for one task, and for all tasks together. */
export const TASK_LOG_SYNC_BYTES_MAX = 16_384
export const SYNC_LOG_BYTES_MAX = 262_144
/** Bytes of a task's result as JSON. */
export const TASK_RESULT_BYTES_MAX = 16_384
/** From SIGTERM to SIGKILL, ms. */
export const TERMINATE_GRACE_MS = 10_000
/** From SIGSTOP until every process of a group stands still, ms; past it the pause has failed: one hangs in the kernel. */
export const PAUSE_MS_MAX = 5_000
/** Bytes of a task's output that are read before the agent turns to other work: an endless writer must wait, not starve it. */
export const TASK_OUTPUT_BURST_BYTES = 262_144
/** Time that a task's output is left unread after such a burst, ms: with it about 5 MB/s are read at most. */
export const TASK_OUTPUT_REST_MS = 50
/** Time to read what a task wrote last, once none of its processes is left, ms: one that left the group may hold the pipe. */
export const TASK_OUTPUT_DRAIN_MS = 1_000

// ── Hub ─────────────────────────────────────────────────────────────────────────────────────────
/** Open (not settled) controls of one agent; past it an operator gets 409 `mailbox_full`. */
export const OPEN_CONTROLS_MAX = 256
/** Open controls of one `queue` lane; past it an operator gets 409 `lane_full`. */
export const LANE_QUEUE_MAX = 32
/** Settled controls that stay in the mailbox; older ones are read from history. */
export const SETTLED_CONTROLS_MAX = 64
/** Bytes of their arguments as JSON, those of the newest apart: the mailbox is written with every change. */
export const SETTLED_ARGS_BYTES_MAX = 32_768
/** Characters of an original's own verbs as JSON in one sync reply: at most three bytes each, they fit in `REPLY_BYTES_MAX`. */
export const ORIGINAL_VERBS_CHARS_MAX = 262_144
/** Idempotency keys remembered per agent, the newest, beside those of all open controls (`OPEN_CONTROLS_MAX`). */
export const IDEMPOTENCY_KEYS_MAX = 128
/** Characters of an idempotency key. */
export const IDEMPOTENCY_KEY_CHARS_MAX = 255
/** Unfinished tasks that one mailbox holds; past it an operator gets 409 `mailbox_full`. */
export const MAILBOX_TASKS_MAX = 256
/** Bytes of all inputs of a mailbox's unfinished tasks as JSON; past it an operator gets 409 `mailbox_full`. */
export const MAILBOX_INPUT_BYTES_MAX = 1_048_576
/** Finished tasks that stay in the mailbox with their results; older ones are read from history. */
export const FINISHED_TASKS_MAX = 32
/** Earlier boots that a mailbox remembers, to tell a delayed request and a clone from a new start. */
export const MAILBOX_BOOTS_MAX = 8
/** Silence after which the newest start of an agent counts as gone, so that an older one that still lives may go on, ms: three syncs at the slowest pace of the hub. */
export const BOOT_GONE_MS = 180_000
/** Bytes queued on a stream whose reader does not keep up; past it whole frames collapse into one `sync`. */
export const STREAM_QUEUE_BYTES_MAX = 262_144
/** Time a stream's reader may stand still with a full queue before it is cut, ms. */
export const STREAM_STALL_MS_MAX = 20_000
/** The same once more was pushed than its queue holds, ms: it loses nothing by coming back, and takes up memory meanwhile. */
export const STREAM_OVERFLOW_MS_MAX = 1_000
/** Oldest that a stream gets unless the hub is told otherwise, ms; each ends at half of it or later. */
export const STREAM_AGE_MS_DEFAULT = 3_600_000
/** Shortest and longest that a hub may be told, ms: half of the shortest is `STREAM_PROVEN_MS`, before which agents take an end for a failing path. */
export const STREAM_AGE_MS_MIN = 120_000
export const STREAM_AGE_MS_MAX = 604_800_000
/** Operators waiting (`?wait=`) at once on one hub. */
export const WAITERS_MAX = 1_000
/** Of them, those of one operator's token: one program that waits for everything must not keep others from waiting. */
export const WAITERS_PER_TOKEN_MAX = 250
/** Agents, controls or history entries on one page of a listing. */
export const PAGE_MAX = 500
/** How long history is kept unless the hub is told otherwise, ms: 90 days; and the shortest, an hour: waits and pages end within it. */
export const HISTORY_MS_DEFAULT = 7_776_000_000
export const HISTORY_MS_MIN = 3_600_000
/** How often old history is looked for, ms; facts dropped at a time, and the rest between two times, ms, in which others commit. */
export const HISTORY_PRUNE_EVERY_MS = 3_600_000
export const HISTORY_PRUNE_MAX = 1_000
export const HISTORY_PRUNE_REST_MS = 100
/** Readers of the operators' feed at once on one hub; past it 503 `too_many_waiters`. */
export const FEED_STREAMS_MAX = 256
/** Of them, those of one operator's token: one program that leaks them must not shut out the others. */
export const FEED_STREAMS_PER_TOKEN_MAX = 64
/** Facts that the feed reads from history at a time. */
export const FEED_PAGE_MAX = 100
/** Bytes queued for a reader of the feed that does not keep up; past it its stream is ended, and it comes back with its last id. */
export const FEED_QUEUE_BYTES_MAX = 1_048_576
/** Wait before the feed reads history again after its store failed, and before its readers come back, ms. */
export const FEED_RETRY_MS = 2_000
/** Agents whose changed presence the feed has yet to tell; past it a listing is the shorter way, and readers are sent `reset`. */
export const FEED_PRESENCE_MAX = 1_000
/** How often a hub whose feed is read looks at what time alone makes of its agents, ms; agents looked at in one turn, about 1 ms. */
export const PRESENCE_LOOK_MS = 5_000
export const PRESENCE_LOOKS_PER_TURN = 500
/** Controls that one request may make; a broadcast to more goes on with its cursor. */
export const BATCH_CONTROLS_MAX = 1_000
/** Terms of a label selector, and its characters. */
export const SELECTOR_TERMS_MAX = 16
export const SELECTOR_CHARS_MAX = 2_048
/** Labels of one agent. */
export const LABELS_MAX = 32
/** Committed documents that a store keeps in memory, and bytes of them as JSON; the least recently used go first. */
export const STORE_CACHE_DOCUMENTS_MAX = 4_096
export const STORE_CACHE_BYTES_MAX = 16_777_216
/**
 * The same for documents of agents that are being steered: 16,384 agents with two each. Reading one anew costs a control
 * as much as its commit, which it waits for besides.
 */
export const STORE_CACHE_KEPT_DOCUMENTS_MAX = 32_768
export const STORE_CACHE_KEPT_BYTES_MAX = 50_331_648
/** Updates, and bytes of them as JSON, of one commit; the rest go into the next one, so that no commit takes long. */
export const STORE_BATCH_ENTRIES_MAX = 256
export const STORE_BATCH_BYTES_MAX = 8_388_608
/** Updates, and bytes of them as JSON, that wait for a slow disk; past either an update is refused `store_unavailable`. */
export const STORE_WAITING_UPDATES_MAX = 16_384
export const STORE_WAITING_BYTES_MAX = 67_108_864
/** Times that one update is tried again because somebody else changed its document first. */
export const STORE_CONFLICT_RETRIES_MAX = 8
/** Time that opening waits for another process to let go of the database, ms; a hub that is just ending fits. */
export const STORE_BUSY_MS_MAX = 2_000
/** Longest time between two records of the service time, ms: at most so much of it is lost by a kill. */
export const STORE_SERVICE_RECORD_MS = 5_000
/** New starts of the database thread within so many ms; past it the fault is not a passing one. */
export const STORE_WORKER_RESTARTS_MAX = 3
export const STORE_WORKER_RESTARTS_MS = 60_000
/** Bounds of the pause before a database whose disk failed is opened again, ms; it doubles until a commit succeeds. */
export const STORE_REOPEN_MS_MIN = 250
export const STORE_REOPEN_MS_MAX = 8_000
/** How often a store that fails tries a commit by itself, ms: as soon as the disk is well, the hub is. */
export const STORE_PROBE_MS = 1_000
/** Time that one commit may take before the hub counts as not ready, ms: a slow disk syncs within a second or two. */
export const STORE_COMMIT_MS_MAX = 10_000
/**
 * Pages of SQLite's write-ahead log after which a commit copies them into the database itself. An idle store does so sooner:
 * the copying takes as long as tens of commits, and the fewer times it is done, the more pages were written twice meanwhile.
 */
export const STORE_CHECKPOINT_PAGES_MAX = 8_192
/** Bytes to which SQLite's write-ahead log is cut back once it has been copied into the database. */
export const STORE_WAL_BYTES_MAX = 67_108_864
/** Time to receive a request's headers, ms, and the whole request, ms: slow senders must not hold sockets. */
export const REQUEST_HEADERS_MS_MAX = 10_000
export const REQUEST_RECEIVE_MS_MAX = 30_000
/** Bytes of a request's headers: a token, a few of ours, and what proxies add. */
export const REQUEST_HEADER_BYTES_MAX = 16_384
/**
 * Connections that the system holds for the hub until it takes them in: past it their first packet is dropped, and sent again
 * after a second. Node's 511 are what a hub takes in within 100 ms; the system may allow less (`net.core.somaxconn`).
 */
export const LISTEN_BACKLOG = 4_096
/** How often slow senders are looked for, ms: Node's own 30 s would let each hold its socket for so much longer. */
export const CONNECTIONS_CHECK_MS = 1_000
/** Time to receive a request's body once its headers are here, ms, on a server of one's own too. */
export const REQUEST_BODY_MS_MAX = 20_000
/** Parts in which a request's body comes, each some hundred bytes of memory until it is read: a body at its limit in the smallest segments that a path makes of it (536 bytes) fits. */
export const REQUEST_PARTS_MAX = 2_048
/** Bytes of a request's body on the wire: a body at its limit fits, with 128 bytes of sizes and extensions a part. */
export const REQUEST_WIRE_BYTES_MAX = 1_310_720
/** Time for a reader to take a whole reply, ms: one that stands still holds the reply in memory. */
export const REPLY_SEND_MS_MAX = 30_000
/** Header fields of one request: proxies add a dozen; thousands of tiny ones cost more than their bytes. */
export const REQUEST_HEADERS_MAX = 100
/** Bytes that come in after a stream's request: an agent says nothing more there; what does is thrown away, and past this the stream is cut. */
export const STREAM_INPUT_BYTES_MAX = 4_096
/** Requests of one connection that wait for the one before them; past it the connection is cut. */
export const PIPELINED_REQUESTS_MAX = 8
/** Open connections of one hub's server; past it new ones are closed at once: every agent needs one or two. */
export const CONNECTIONS_MAX = 65_536
/** Of them, those of one address that is no proxy and not this machine; past it 503: an office of agents behind one address fits. */
export const CONNECTIONS_PER_ADDRESS_MAX = 4_096
/** Proxies that a hub may be told of. */
export const PROXIES_MAX = 256
/** Key exchanges of one address: at once, and per second after that; past it 429. Each costs two commits, and a reply tells whether a key is good. */
export const EXCHANGES_BURST = 200
export const EXCHANGES_PER_S = 20
/** Requests per second of one agent and of one operator's token, unless the hub is told otherwise; past it 429. */
export const AGENT_REQUESTS_PER_S = 50
export const OPERATOR_REQUESTS_PER_S = 1_000
/** Operators' buckets that are remembered, of tokens and of the application's own names; the longest unused go first. */
export const OPERATORS_REMEMBERED_MAX = 4_096
/** Time for the application around a hub to say who an operator is, ms, and requests that may wait for it at once; past either 503. */
export const OWN_AUTHENTICATION_MS_MAX = 5_000
export const OWN_AUTHENTICATIONS_MAX = 1_000
/** Time for the application around a hub to say what it adds to a sync, ms: the controls in the reply wait for it. */
export const OWN_SYNC_MS_MAX = 2_000
/** Bytes of that as JSON: the hub's own controls and tasks come first in `REPLY_BYTES_MAX`. */
export const OWN_CONTENT_BYTES_MAX = 262_144
/** Most that a hub may be told to allow. */
export const REQUESTS_PER_S_MAX = 1_000_000
/** Seconds' worth of requests that may come at once after a rest: a page that opens, an agent that reconnects. */
export const REQUESTS_BURST_S = 4
/** Failed authentications of one address: at once, and per second after that; past it 429 instead of 401. */
export const AUTH_FAILURES_BURST = 60
export const AUTH_FAILURES_PER_S = 1
/** Addresses whose failures are remembered; the longest known go first. */
export const AUTH_FAILURE_ADDRESSES_MAX = 4_096
/** Longest time that a `wake` is held, ms: below the 30 s at which originals and proxies give up. */
export const WAKE_HOLD_MS_MAX = 28_000
/** Shortest, for tests, ms. */
export const WAKE_HOLD_MS_MIN = 10
/** Polls held at once by one hub, one per agent; past it 503 `too_many_waiters`. */
export const WAKE_POLLS_MAX = 20_000
/** An original is told `wake: true` at most once in this time, ms: it asks again at once, whatever its sync brought. */
export const ORIGINAL_WAKE_MS = 1_000
/** Streams or polls of one original agent that later ones take the place of within so many ms; past it 503: two copies fight. */
export const ORIGINAL_DISPLACEMENTS_MAX = 5
export const ORIGINAL_DISPLACEMENTS_MS = 60_000
/** Time a connection may idle between requests, ms: longer than the idle time-out of common load balancers (60 s). */
export const KEEP_ALIVE_MS = 75_000
/** First reconnection time that the preamble asks for, ms; originals come back after 2 s whatever it says. */
export const PREAMBLE_RETRY_MS = 2_000
/** Time in which `drain` lets requests finish unless told otherwise, ms. */
export const DRAIN_MS_DEFAULT = 5_000
/** Time in which a hub that drains ends its streams unless told otherwise, ms, at most: whoever ends a process waits about 10 s before killing it. */
export const DRAIN_SPREAD_MS_DEFAULT = 5_000
/** Expected time for a process to start again at its address, ms: agents come back after it. */
export const DRAIN_RESTART_MS = 2_000
/** Streams that a hub accepts per second unless told otherwise; half of it is handed out to agents that come back. */
export const ACCEPT_PER_S_DEFAULT = 1_000
/** Streams that get a frame for all in one turn of the event loop: some 4 ms, for which a control that comes meanwhile waits. */
export const STREAMS_TOGETHER_MAX = 256
/** Heartbeats whose time is remembered, so that an echo of one tells the round trip: 16 of the longest paces of syncs at the default period. */
export const HEARTBEATS_REMEMBERED = 320
/** Pace of syncs, ms: watched, with running tasks or without a stream, and idle on a healthy stream. */
export const SYNC_WATCHED_MS = 3_000
export const SYNC_ACTIVE_MS = 10_000
export const SYNC_IDLE_MS = 60_000
/** Changes of one agent's presence that a hub remembers, in memory: an hour of a bad path shows, a fleet of 100,000 fits. */
export const PRESENCE_TRANSITIONS_MAX = 16
/** An agent counts as watched for this time after somebody looked at it, ms. */
export const WATCHED_MS = 10_000
/** Bytes of log tail that the hub keeps in memory for one task, and tasks of one agent for which it keeps one. */
export const TASK_LOG_KEPT_BYTES_MAX = 65_536
export const TASK_LOGS_PER_AGENT_MAX = 64
/** Documents that one filtered listing looks at before it returns what it has, with a cursor. */
export const LIST_SCAN_MAX = 5_000
/** Wait before an expiry that the store refused is tried again, ms. */
export const EXPIRY_RETRY_MS = 1_000
/** Agents that one enrollment key may enroll. */
export const ENROLLMENT_USES_MAX = 100_000
/** Default and longest life of an enrollment key, ms. */
export const ENROLLMENT_TTL_MS_DEFAULT = 86_400_000
export const ENROLLMENT_TTL_MS_MAX = 31_536_000_000
/** Time in which an exchange may be repeated because its reply was lost, ms, and how many are remembered per key. */
export const ENROLLMENT_REPEAT_MS = 600_000
export const ENROLLMENT_RECENT_MAX = 256
/** Keys of one agent that are remembered, retired ones included, so that they are told why they no longer work. */
export const AGENT_KEYS_MAX = 8
/** Least age, ms, at which a hub may have its agents' keys replaced: each replacement costs a commit and a reconnect. */
export const AGENT_KEY_AGE_MS_MIN = 3_600_000
/** Characters of an operator's name. */
export const OPERATOR_NAME_CHARS_MAX = 64
/** Longest life of an operator's token that expires, ms: ten years. */
export const OPERATOR_TOKEN_TTL_MS_MAX = 315_360_000_000
/** How exactly the last use of an operator's token is known, ms, so how often it costs a commit at most. */
export const TOKEN_USE_RECORD_MS = 3_600_000
/** Wait before a task's end that the journal could not take is offered to it again, ms. */
export const JOURNAL_RETRY_MS = 1_000

// ── Client ──────────────────────────────────────────────────────────────────────────────────────
/** Bytes of a reply of the operator API: a page of `PAGE_MAX` controls with the largest arguments fits. */
export const OPERATOR_REPLY_BYTES_MAX = 16_777_216
/** Times that one operator's request is sent in all; a hub that stays away must be reported, not waited for. */
export const CLIENT_ATTEMPTS_MAX = 4
/** Bounds of the jittered wait before a request is sent again, ms: the ceiling after the first try, and of any later one. */
export const CLIENT_RETRY_MS_MIN = 200
export const CLIENT_RETRY_MS_MAX = 5_000
/** Longest `Retry-After` that the client waits for by itself, ms; a longer one is the caller's to decide. */
export const CLIENT_RETRY_AFTER_MS_MAX = 10_000
/** Shortest time between two looks at a control whose wait the hub answers early, ms. */
export const CLIENT_WAIT_AGAIN_MS = 250
/** Longest silence of the feed, ms, two and a half of its heartbeats; past it the client connects again. */
export const FEED_SILENCE_MS = 37_500
/** Default time to wait for a control to be applied or observed, ms. */
export const CLIENT_WAIT_MS_DEFAULT = 10_000
/** Longest that a stopping agent waits for its tasks to end, ms: their grace, and time to see them gone. */
export const STOP_MS_MAX = 15_000

/* The command line. */
#include "load.h"
#include <stdlib.h>
#include <string.h>

struct options options = {
    .originals_from = 1 << 30,
    .path = "/x/{i}",
    .sync_path = "/api/internal/agent/sync",
    .publish_path = "/pub/{i}",
    .publish_body = "{\"action\":\"cancel\",\"taskId\":\"t{seq}\"}",
    .broadcast_path = "",
    .batch_path = "",
    .batch_item = "{\"agentId\":\"a{i}\",\"action\":\"cancel\",\"taskId\":\"t{seq}\"}",
    .batch_head = "{\"items\":[",
    .batch_tail = "]}",
    .batch_chunk = 1000,
    .match = "taskId\":\"t",
    .streams_max = 20000,
    .connecting_max = 128,
    .source_addresses = 8,
    .timeout_s = 60,
};

static const char USAGE[] =
    "load --url http://127.0.0.1:PORT [options]     steps come on standard input, one a line; each is answered by a line of JSON\n"
    "  --url URL              where streams go; https for TLS (no certificate is checked); loopback addresses only\n"
    "  --path T               of a stream: {i} is its number, from 0               (/x/{i})\n"
    "  --header T             one more header of streams: {i}, {key}\n"
    "  --keys FILE            line i is {key} of stream i\n"
    "  --streams N            at most so many                                      (20000)\n"
    "  --connecting N         dialled at once                                      (128)\n"
    "  --sources N            source addresses 127.0.2.1, 127.0.2.2 …, for more ports    (8)\n"
    "  --agents               streams sync, report outcomes and come back as our agents do\n"
    "  --originals-from N     from this number on, as the first agents in the field do\n"
    "  --sync-path P          of the syncs                                         (/api/internal/agent/sync)\n"
    "  --publish-url URL      where operators' requests go                         (as --url)\n"
    "  --publish-path T       one control: {i}, {seq} its number                   (/pub/{i})\n"
    "  --publish-body T       {seq}, {i}, {pad}\n"
    "  --publish-header T     one more header of operators: {seq}\n"
    "  --broadcast-path P     to all streams; --broadcast-body T as --publish-body;\n"
    "                         --broadcast-match S what its number stands behind, as --match\n"
    "  --batch-path P         many controls in one request; --batch-chunk N in each (1000)\n"
    "  --batch-item T, --batch-head S, --batch-tail S     what a batch is made of\n"
    "  --match S              stands before a control's number in what is delivered (taskId\":\"t)\n"
    "  --server PID           whose memory and CPU is told, its children's too; up to 8 times\n"
    "  --timeout S            a step gives up then                                 (60)\n"
    "steps\n"
    "  connect N              opens streams until there are N\n"
    "  keep N                 closes all but the first N\n"
    "  settle S               only serves\n"
    "  memory                 of the servers, from /proc\n"
    "  heartbeats S           the servers' CPU meanwhile, and how fast each heartbeat reached all\n"
    "  latency N GAP_US       N controls one by one: from sending the request to the bytes at the stream\n"
    "  throughput N P         N controls, one request each, P at once\n"
    "  batch N R              N distinct controls by --batch-path, R rounds\n"
    "  broadcast R GAP_MS     R broadcasts\n"
    "  slow MB BYTES          stream 0 stops reading while so much is pushed to it\n"
    "  hold S PER_S           PER_S controls a second, timed until the request says that they are applied\n"
    "  outage S PER_S         the same while the hub goes away; ends when all agents are back and all controls applied\n";

static void read_endpoint(const char *url, struct endpoint *endpoint, bool *tls) {
  if (tls) *tls = strncmp(url, "https://", 8) == 0;
  const char *host = strstr(url, "://");
  host = host ? host + 3 : url;
  const char *colon = strrchr(host, ':');
  if (!colon) die("the URL needs a port: %s", url);
  snprintf(endpoint->host, sizeof endpoint->host, "%.*s", (int)(colon - host), host);
  endpoint->port = atoi(colon + 1);
}

static void add_header(const char **headers, const char *header) {
  for (int index = 0; index < HEADERS_MAX; index++)
    if (!headers[index]) {
      headers[index] = header;
      return;
    }
  die("at most %d headers", HEADERS_MAX);
}

static bool read_number(const char *name, const char *value) {
  const struct {
    const char *name;
    int *number;
  } numbers[] = {{"--streams", &options.streams_max},       {"--connecting", &options.connecting_max},
                 {"--sources", &options.source_addresses},  {"--timeout", &options.timeout_s},
                 {"--batch-chunk", &options.batch_chunk},   {"--originals-from", &options.originals_from},
                 {"--slow-receive-bytes", &options.slow_receive_bytes}};
  for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++)
    if (strcmp(name, numbers[index].name) == 0) {
      *numbers[index].number = atoi(value);
      return true;
    }
  return false;
}

static bool read_text(const char *name, const char *value) {
  const struct {
    const char *name;
    const char **text;
  } texts[] = {{"--path", &options.path},
               {"--sync-path", &options.sync_path},
               {"--keys", &options.keys_file},
               {"--publish-path", &options.publish_path},
               {"--publish-body", &options.publish_body},
               {"--broadcast-path", &options.broadcast_path},
               {"--broadcast-body", &options.broadcast_body},
               {"--batch-path", &options.batch_path},
               {"--batch-item", &options.batch_item},
               {"--batch-head", &options.batch_head},
               {"--batch-tail", &options.batch_tail},
               {"--broadcast-match", &options.broadcast_match},
               {"--match", &options.match}};
  for (size_t index = 0; index < sizeof texts / sizeof *texts; index++)
    if (strcmp(name, texts[index].name) == 0) {
      *texts[index].text = value;
      return true;
    }
  return false;
}

static void read_option(const char *name, const char *value) {
  if (read_number(name, value) || read_text(name, value)) return;
  if (strcmp(name, "--url") == 0) read_endpoint(value, &options.stream, &options.tls);
  else if (strcmp(name, "--publish-url") == 0) read_endpoint(value, &options.operator_api, NULL);
  else if (strcmp(name, "--header") == 0) add_header(options.stream_headers, value);
  else if (strcmp(name, "--publish-header") == 0) add_header(options.publish_headers, value);
  else if (strcmp(name, "--server") == 0) {
    if (options.server_pid_count == 8) die("at most 8 servers");
    options.server_pids[options.server_pid_count++] = atoi(value);
  } else die("unknown option %s\n%s", name, USAGE);
}

void read_options(int count, char **arguments) {
  for (int index = 1; index < count; index++) {
    const char *name = arguments[index];
    if (strcmp(name, "--help") == 0) {
      fputs(USAGE, stdout);
      exit(0);
    }
    if (strcmp(name, "--agents") == 0) {
      options.agents = true;
      continue;
    }
    if (index + 1 == count) die("%s needs a value", name);
    read_option(name, arguments[++index]);
  }
  if (options.stream.port == 0) die("--url is missing\n%s", USAGE);
  if (options.operator_api.port == 0) options.operator_api = options.stream;
  if (options.broadcast_body == NULL) options.broadcast_body = options.publish_body;
  if (options.broadcast_match == NULL) options.broadcast_match = options.match;
}

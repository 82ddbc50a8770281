/* Reads steps from standard input, one a line, and takes them one after the other; its streams are served meanwhile. */
#include "load.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct {
  const char *name;
  void (*run)(int first, int second);
} STEPS[] = {
    {"latency", step_latency}, {"throughput", step_throughput}, {"batch", step_batch}, {"broadcast", step_broadcast},
    {"slow", step_slow},       {"hold", step_hold},             {"outage", step_outage},
};
static const struct {
  const char *name;
  void (*run)(int number);
} STEPS_OF_ONE[] = {
    {"connect", step_connect}, {"keep", step_keep}, {"settle", step_settle}, {"heartbeats", step_heartbeats}};

static void take_step(const char *line) {
  char name[32] = "";
  int first = 0, second = 0;
  sscanf(line, "%31s %d %d", name, &first, &second);
  if (strcmp(name, "memory") == 0) {
    step_memory();
    return;
  }
  for (size_t index = 0; index < sizeof STEPS / sizeof *STEPS; index++)
    if (strcmp(name, STEPS[index].name) == 0) {
      STEPS[index].run(first, second);
      return;
    }
  for (size_t index = 0; index < sizeof STEPS_OF_ONE / sizeof *STEPS_OF_ONE; index++)
    if (strcmp(name, STEPS_OF_ONE[index].name) == 0) {
      STEPS_OF_ONE[index].run(first);
      return;
    }
  die("there is no step \"%s\"; see --help", name);
}

static char input[4096];
static int input_length;

/* Only notes what came: a step takes its time, and must not be taken within an event of another. */
static void hear_input(struct source *source, uint32_t events) {
  (void)source, (void)events;
  int length = read(STDIN_FILENO, input + input_length, sizeof input - input_length - 1);
  // Whoever started this one has ended, and nothing shall stay behind.
  if (length <= 0) exit(0);
  input_length += length;
  input[input_length] = 0;
}

static void take_next_step(void) {
  char *newline = memchr(input, '\n', input_length), line[256];
  if (!newline) return;
  snprintf(line, sizeof line, "%.*s", (int)(newline - input), input);
  input_length -= newline + 1 - input;
  memmove(input, newline + 1, input_length);
  take_step(line);
}

int main(int count, char **arguments) {
  signal(SIGPIPE, SIG_IGN);
  read_options(count, arguments);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  wire_setup();
  loop_setup();
  if (options.keys_file) read_keys(options.keys_file);
  streams_setup();
  if (options.agents) agents_setup();
  struct source source = {hear_input};
  loop_watch(STDIN_FILENO, &source, EPOLLIN);
  for (;;) {
    poll_once(1000);
    take_next_step();
  }
}

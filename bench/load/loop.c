/* The one epoll. */
#include "load.h"
#include <errno.h>
#include <sys/epoll.h>

#define EVENTS_MAX 512
static int epoll_fd;

void loop_setup(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) die("epoll cannot be had");
}

static void control_epoll(int operation, int fd, struct source *source, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  epoll_ctl(epoll_fd, operation, fd, &event);
}

void loop_watch(int fd, struct source *source, uint32_t events) { control_epoll(EPOLL_CTL_ADD, fd, source, events); }
void loop_change(int fd, struct source *source, uint32_t events) { control_epoll(EPOLL_CTL_MOD, fd, source, events); }

void poll_once(int timeout_ms) {
  uint64_t next_ns = alarms_next_ns(), now = now_ns();
  if (next_ns <= now) timeout_ms = 0;
  else if (next_ns - now < (uint64_t)timeout_ms * MS_NS) timeout_ms = (int)((next_ns - now) / MS_NS);
  struct epoll_event events[EVENTS_MAX];
  int count = epoll_wait(epoll_fd, events, EVENTS_MAX, timeout_ms);
  if (count < 0 && errno != EINTR) die("epoll fails");
  for (int index = 0; index < count; index++) {
    struct source *source = events[index].data.ptr;
    source->ready(source, events[index].events);
  }
  if (options.agents) agents_run();
}

void serve_for(double seconds) {
  uint64_t end_ns = now_ns() + (uint64_t)(seconds * SECOND_NS);
  while (now_ns() < end_ns) poll_once(10);
}

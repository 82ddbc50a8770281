/* A binary heap of when which agent has something to do. Setting an alarm again leaves the earlier one, which wakes the agent for nothing. */
#include "load.h"
#include <stdlib.h>

struct alarm {
  uint64_t due_ns;
  int index;
};
static struct alarm *heap;
static int count, capacity;

static void swap(int first, int second) {
  struct alarm kept = heap[first];
  heap[first] = heap[second];
  heap[second] = kept;
}

void alarm_set(int index, uint64_t due_ns) {
  if (count == capacity) {
    capacity = capacity ? 2 * capacity : 4096;
    heap = realloc(heap, capacity * sizeof *heap);
  }
  int at = count++;
  heap[at] = (struct alarm){due_ns, index};
  for (; at > 0 && heap[(at - 1) / 2].due_ns > heap[at].due_ns; at = (at - 1) / 2) swap(at, (at - 1) / 2);
}

static int pop(void) {
  int index = heap[0].index;
  heap[0] = heap[--count];
  for (int at = 0;;) {
    int least = at;
    for (int child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
      if (heap[child].due_ns < heap[least].due_ns) least = child;
    if (least == at) return index;
    swap(at, least);
    at = least;
  }
}

uint64_t alarms_next_ns(void) { return count ? heap[0].due_ns : UINT64_MAX; }

void alarms_run(void (*due)(int index)) {
  uint64_t now = now_ns();
  while (count && heap[0].due_ns <= now) due(pop());
}

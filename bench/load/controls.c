/* What became of each control, in a ring of the newest ones. */
#include "load.h"

static struct control ring[CONTROLS_MAX];
uint64_t control_next = 1;
struct tally tally;

struct control *control_of(uint64_t sequence) { return &ring[sequence % CONTROLS_MAX]; }

uint64_t control_new(int target) {
  uint64_t sequence = control_next++;
  *control_of(sequence) = (struct control){.sent_ns = now_ns(), .target = target};
  return sequence;
}

void control_delivered(int index, uint64_t sequence) {
  if (sequence == 0 || sequence >= control_next) return;
  struct control *control = control_of(sequence);
  if (control->target != index) {
    tally.misrouted++;
    return;
  }
  if (control->delivered_ns) {
    tally.repeated++;
    return;
  }
  control->delivered_ns = tally.last_delivered_ns = now_ns();
  tally.delivered++;
}

bool control_applied(int index, uint64_t sequence, uint64_t id_hash) {
  if (sequence == 0 || sequence >= control_next) return false;
  struct control *control = control_of(sequence);
  if (control->target != index) {
    tally.misrouted++;
    return false;
  }
  if (control->id_hash == id_hash) return false;
  if (control->id_hash) tally.decided_twice++;
  control->id_hash = id_hash;
  if (!control->applied_ns) control->applied_ns = now_ns();
  return true;
}

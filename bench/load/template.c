/* Texts with places to fill in, and the keys that stand in some. */
#include "load.h"
#include <stdlib.h>
#include <string.h>

static char **keys;
static int key_count;

void read_keys(const char *file) {
  FILE *input = fopen(file, "r");
  if (!input) die("cannot read %s", file);
  keys = calloc(options.streams_max, sizeof *keys);
  char line[512];
  while (key_count < options.streams_max && fgets(line, sizeof line, input)) {
    line[strcspn(line, "\r\n")] = 0;
    keys[key_count++] = strdup(line);
  }
  fclose(input);
}

const char *key_of(int index) {
  if (index >= key_count) die("there are %d keys; stream %d has none", key_count, index);
  return keys[index];
}

int expand(char *target, int capacity, const char *template, int index, uint64_t sequence, const char *pad) {
  int length = 0;
  while (*template) {
    char number[24];
    const char *part = NULL;
    int skip = 0;
    if (strncmp(template, "{i}", 3) == 0) {
      snprintf(number, sizeof number, "%d", index);
      part = number;
      skip = 3;
    } else if (strncmp(template, "{seq}", 5) == 0) {
      snprintf(number, sizeof number, "%llu", (unsigned long long)sequence);
      part = number;
      skip = 5;
    } else if (strncmp(template, "{key}", 5) == 0) {
      part = key_of(index);
      skip = 5;
    } else if (strncmp(template, "{pad}", 5) == 0) {
      part = pad ? pad : "";
      skip = 5;
    }
    int part_length = part ? (int)strlen(part) : 1;
    if (length + part_length >= capacity) die("this does not fit: %.80s", template);
    memcpy(target + length, part ? part : template, part_length);
    length += part_length;
    template += part ? skip : 1;
  }
  target[length] = 0;
  return length;
}

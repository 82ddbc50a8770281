/* Memory and CPU from /proc: of the servers with all their children, and of this process. */
#include "load.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PROCESSES_MAX 64
static int pids[PROCESSES_MAX], pid_count;

/* The part of /proc/PID/stat behind the name, which may hold anything. */
static bool read_stat(int pid, char *text, int capacity) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (!file) return false;
  int length = fread(text, 1, capacity - 1, file);
  fclose(file);
  text[length > 0 ? length : 0] = 0;
  char *name_end = strrchr(text, ')');
  if (!name_end) return false;
  memmove(text, name_end + 1, strlen(name_end + 1) + 1);
  return true;
}

static bool is_known(int pid) {
  for (int index = 0; index < pid_count; index++)
    if (pids[index] == pid) return true;
  return false;
}

/* Children are found once a step: /proc is large. */
static void find_processes(void) {
  pid_count = 0;
  for (int index = 0; index < options.server_pid_count; index++) pids[pid_count++] = options.server_pids[index];
  for (bool found = true; found;) {
    found = false;
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
      char text[1024];
      int pid = atoi(entry->d_name), parent = 0;
      if (pid <= 0 || is_known(pid) || pid_count == PROCESSES_MAX || !read_stat(pid, text, sizeof text)) continue;
      sscanf(text, " %*c %d", &parent);
      if (!is_known(parent)) continue;
      pids[pid_count++] = pid;
      found = true;
    }
    closedir(folder);
  }
}

static double field_kib(int pid, const char *file, const char *field) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  FILE *input = fopen(path, "r");
  if (!input) return 0;
  double value = 0;
  while (fgets(line, sizeof line, input))
    if (strncmp(line, field, strlen(field)) == 0) {
      value = atof(line + strlen(field));
      break;
    }
  fclose(input);
  return value;
}

double server_kib(const char *file, const char *field) {
  find_processes();
  double sum = 0;
  for (int index = 0; index < pid_count; index++) sum += field_kib(pids[index], file, field);
  return sum;
}

double server_cpu_s(void) {
  find_processes();
  double sum = 0;
  for (int index = 0; index < pid_count; index++) {
    char text[1024];
    unsigned long user = 0, system = 0;
    if (!read_stat(pids[index], text, sizeof text)) continue;
    sscanf(text, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    sum += (user + system) / (double)sysconf(_SC_CLK_TCK);
  }
  return sum;
}

int server_fds(void) {
  find_processes();
  int count = 0;
  for (int index = 0; index < pid_count; index++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pids[index]);
    DIR *folder = opendir(path);
    if (!folder) continue;
    while (readdir(folder)) count++;
    closedir(folder);
  }
  return count;
}

double own_cpu_s(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

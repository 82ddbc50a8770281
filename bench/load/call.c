/* One HTTP request at a time on a connection of its own, kept or not. */
#define _GNU_SOURCE
#include "load.h"
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* Of a reply that is kept; more ends the process, as nobody here asks for more. */
#define REPLY_BYTES_MAX (8 << 20)

static void call_close(struct call *call) {
  wire_close(&call->wire);
  call->open = false;
}

static void finish(struct call *call, int status, char *body) {
  call->busy = false;
  call->took_ns = now_ns() - call->sent_ns;
  call->in_length = 0;
  if (!call->keep || status == 0) call_close(call);
  call->done(call, status, body);
}

static void flush(struct call *call) {
  while (call->out_sent < call->out_length) {
    int sent = wire_write(&call->wire, call->out + call->out_sent, call->out_length - call->out_sent);
    if (sent == WIRE_AGAIN) break;
    if (sent == WIRE_CLOSED) {
      finish(call, 0, NULL);
      return;
    }
    call->out_sent += sent;
  }
  // TLS waits for the other side, which is heard as readable.
  bool wants_out = call->out_sent < call->out_length && !call->wire.ssl;
  loop_change(call->wire.fd, &call->source, EPOLLIN | (wants_out ? EPOLLOUT : 0));
}

/* The body if the reply is whole, with its sizes taken out if it came in chunks. */
static char *whole_body(struct call *call) {
  char *head_end = strstr(call->in, "\r\n\r\n");
  if (!head_end) return NULL;
  char *body = head_end + 4, *length = strcasestr(call->in, "\r\ncontent-length:");
  int have = call->in_length - (int)(body - call->in);
  if (length && length < head_end) return have >= atoi(length + 17) ? body : NULL;
  char *chunked = strcasestr(call->in, "\r\ntransfer-encoding: chunked");
  if (!chunked || chunked > head_end) return body;
  if (have < 5 || memcmp(call->in + call->in_length - 5, "0\r\n\r\n", 5) != 0) return NULL;
  char *to = body;
  for (char *from = body; *from;) {
    long size = strtol(from, &from, 16);
    if (size == 0 || strncmp(from, "\r\n", 2) != 0) break;
    memmove(to, from + 2, size);
    to += size;
    from += 2 + size + 2;
  }
  *to = 0;
  return body;
}

static void receive(struct call *call) {
  for (;;) {
    if (call->in_capacity - call->in_length < 4096) {
      call->in_capacity = call->in_capacity ? 2 * call->in_capacity : 8192;
      if (call->in_capacity > REPLY_BYTES_MAX) die("a reply has more than %d bytes", REPLY_BYTES_MAX);
      call->in = realloc(call->in, call->in_capacity);
    }
    int got = wire_read(&call->wire, call->in + call->in_length, call->in_capacity - call->in_length - 1);
    if (got == WIRE_AGAIN) return;
    if (got == WIRE_CLOSED) {
      if (call->busy) finish(call, 0, NULL);
      else call_close(call);
      return;
    }
    call->in_length += got;
    call->in[call->in_length] = 0;
    char *body = whole_body(call);
    if (!body) continue;
    int status = atoi(call->in + 9);
    char *closing = strcasestr(call->in, "\r\nconnection: close");
    bool ends = closing && closing < body;
    finish(call, status, body);
    if (ends && call->open && !call->busy) call_close(call);
    return;
  }
}

static void ready(struct source *source, uint32_t events) {
  struct call *call = (struct call *)source;
  if (!call->open) return;
  // Reading comes first: it may be what ends a TLS handshake, and nothing would wake the request behind it.
  if (call->wire.ssl || events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(call);
  if (call->open && call->busy && call->out_sent < call->out_length) flush(call);
}

void call_start(struct call *call, const char *method, const char *path, const char *headers, const char *body, int length) {
  call->out = realloc(call->out, length + 8192);
  int head = snprintf(call->out, 8192,
                      "%s %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Length: %d\r\nContent-Type: application/json\r\n%s%s\r\n", method,
                      path, call->to.host, call->to.port, length, call->keep ? "" : "Connection: close\r\n", headers);
  if (head >= 8192) die("the headers of a request do not fit");
  memcpy(call->out + head, body, length);
  call->out_length = head + length;
  call->out_sent = 0;
  call->in_length = 0;
  call->busy = true;
  call->sent_ns = now_ns();
  if (!call->open) {
    call->source.ready = ready;
    if (!wire_open(&call->wire, &call->to, random_number() % options.source_addresses, 0, call->tls)) {
      finish(call, 0, NULL);
      return;
    }
    call->open = true;
    loop_watch(call->wire.fd, &call->source, EPOLLIN | EPOLLOUT);
    return;
  }
  flush(call);
}

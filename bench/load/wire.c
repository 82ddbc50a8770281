/* A connection to a loopback address, with TLS where the URL says so. */
#define _GNU_SOURCE
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
static SSL_CTX *context;
#endif

void wire_setup(void) {
  if (!options.tls) return;
#ifdef WITH_TLS
  context = SSL_CTX_new(TLS_client_method());
  if (!context) die("TLS cannot be set up");
  // Thousands of connections: buffers are given back while nothing is read.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#else
  die("built without TLS: install the headers of OpenSSL (Debian: libssl-dev)");
#endif
}

static bool connect_loopback(int fd, const struct endpoint *to) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(to->port)};
  if (inet_pton(AF_INET, to->host, &address.sin_addr) != 1 || ntohl(address.sin_addr.s_addr) >> 24 != 127)
    die("only addresses of 127.0.0.0/8 are dialled, not %s", to->host);
  return connect(fd, (void *)&address, sizeof address) == 0 || errno == EINPROGRESS;
}

bool wire_open(struct wire *wire, const struct endpoint *to, int source, int receive_bytes, bool tls) {
  wire->ssl = NULL;
  int fd = wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // Ports are wanted again at once, so nothing may linger.
  struct linger none = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  // 127.0.2.1 and on: one address has too few ports for all streams.
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000201u + source)};
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, (void *)&from, sizeof from) < 0 || !connect_loopback(fd, to)) {
    wire_close(wire);
    return false;
  }
#ifdef WITH_TLS
  if (tls) {
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    wire->ssl = ssl;
  }
#else
  (void)tls;
#endif
  return true;
}

#ifdef WITH_TLS
static int tls_result(SSL *ssl, int result) {
  if (result > 0) return result;
  int error = SSL_get_error(ssl, result);
  ERR_clear_error();
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? WIRE_AGAIN : WIRE_CLOSED;
}
#endif

static int plain_result(int result) {
  if (result > 0) return result;
  bool again = result < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN);
  return again ? WIRE_AGAIN : WIRE_CLOSED;
}

int wire_read(struct wire *wire, char *into, int capacity) {
#ifdef WITH_TLS
  if (wire->ssl) return tls_result(wire->ssl, SSL_read(wire->ssl, into, capacity));
#endif
  return plain_result(recv(wire->fd, into, capacity, MSG_DONTWAIT));
}

int wire_write(struct wire *wire, const char *bytes, int length) {
#ifdef WITH_TLS
  if (wire->ssl) return tls_result(wire->ssl, SSL_write(wire->ssl, bytes, length));
#endif
  return plain_result(send(wire->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void wire_close(struct wire *wire) {
  if (wire->fd < 0) return;
#ifdef WITH_TLS
  if (wire->ssl) SSL_free(wire->ssl);
#endif
  wire->ssl = NULL;
  close(wire->fd);
  wire->fd = -1;
}

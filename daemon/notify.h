/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager is told (sd_notify(3)). Without one, or built without libsystemd, these
 * do nothing.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTIFY_FDS_MAX 4
#define NOTIFY_NAME_MAX 255      /* systemd's limit */
#define NOTIFY_AGAIN_MS 10
#define NOTIFY_WAITING_MAX 4096  /* messages; descriptors are not given to a manager that is further behind */

struct event_base;

/* Nothing here waits for the manager. 0 or a negative errno. */
int notify_init(struct event_base *base);
/* Tells what the manager had no room for yet, as far as @timeout_ms allows, and nothing from then on. */
void notify_fini(unsigned timeout_ms);

void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);
void notify_watchdog(void);
/* How often notify_watchdog must be called, in microseconds; 0: nobody watches. */
uint64_t notify_watchdog_us(void);

/* Descriptors that the service manager keeps for the next daemon, under a name, until they are taken out.
 * It does not look whether they still lead to anyone. 0 or a negative errno. */
bool notify_has_store(void);
int notify_store(const char *name, const int *fds, unsigned n_fds);
void notify_unstore(const char *name);

/* What it kept, and sockets of its own, handed over at the start: asked once. */
struct notify_fd {
	int fd; /* -1: taken */
	char *name;
};
size_t notify_stored(struct notify_fd **ret);
void notify_stored_free(struct notify_fd *fds, size_t n);

#endif

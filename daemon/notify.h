/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager is told (sd_notify). Without one, or built without libsystemd, these
 * do nothing.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);
void notify_watchdog(void);
/* How often notify_watchdog must be called, in microseconds; 0: nobody watches. */
uint64_t notify_watchdog_us(void);

#endif

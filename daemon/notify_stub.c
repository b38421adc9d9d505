/* SPDX-License-Identifier: Apache-2.0 */
/* Built without libsystemd: there is no service manager to tell. */
#include "notify.h"

int
notify_init(struct event_base *base)
{
	(void)base;
	return 0;
}

void
notify_fini(unsigned timeout_ms)
{
	(void)timeout_ms;
}

void
notify_ready(const char *status)
{
	(void)status;
}

void
notify_reloading(void)
{
}

void
notify_stopping(void)
{
}

void
notify_watchdog(void)
{
}

uint64_t
notify_watchdog_us(void)
{
	return 0;
}

bool
notify_has_store(void)
{
	return false;
}

int
notify_store(const char *name, const int *fds, unsigned n_fds)
{
	(void)name;
	(void)fds;
	(void)n_fds;
	return 0;
}

void
notify_unstore(const char *name)
{
	(void)name;
}

size_t
notify_stored(struct notify_fd **ret)
{
	*ret = NULL;
	return 0;
}

void
notify_stored_free(struct notify_fd *fds, size_t n)
{
	(void)fds;
	(void)n;
}

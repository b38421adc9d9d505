/* SPDX-License-Identifier: Apache-2.0 */
/* Built without libsystemd: there is no service manager to tell. */
#include "notify.h"

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

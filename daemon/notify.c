/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>

void
notify_ready(const char *status)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void
notify_reloading(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
			 (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000);
}

void
notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

void
notify_watchdog(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

uint64_t
notify_watchdog_us(void)
{
	uint64_t us = 0;

	return sd_watchdog_enabled(0, &us) > 0 ? us / 2 : 0;
}

bool
notify_has_store(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

int
notify_store(const char *name, const int *fds, unsigned n_fds)
{
	char state[128];
	int r;

	(void)snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	r = sd_pid_notify_with_fds(0, 0, state, fds, n_fds);
	return r < 0 ? r : 0;
}

void
notify_unstore(const char *name)
{
	(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

size_t
notify_stored(struct notify_fd **ret)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);
	struct notify_fd *fds;

	*ret = NULL;
	fds = n > 0 ? calloc((size_t)n, sizeof(*fds)) : NULL;
	for (int i = 0; fds != NULL && i < n; i++)
		fds[i] = (struct notify_fd){SD_LISTEN_FDS_START + i, names[i]};
	if (fds == NULL)
		for (int i = 0; i < n; i++)
			free(names[i]);
	free(names);
	*ret = fds;
	return fds != NULL ? (size_t)n : 0;
}

void
notify_stored_free(struct notify_fd *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(fds[i].name);
	free(fds);
}

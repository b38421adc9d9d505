/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long it takes from an event to a client that follows: reads what `tail` of swarm.c's probes gives.
 *
 *   latency DIR
 *
 * Prints one JSON object when the connection ends or standard input does.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "pyaudit/wire.h"

#define SAMPLES_MAX (1u << 20)

static const char request[] = "{\"request\":\"tail\",\"filter\":\"event = 'swarm.probe'\"}\n";
static double samples[SAMPLES_MAX]; /* ms */
static size_t n_samples;

static int
connect_to(const char *dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, PYAUDIT_CONTROL_SOCKET);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    write(fd, request, sizeof(request) - 1) != (ssize_t)sizeof(request) - 1) {
		perror(address.sun_path);
		exit(1);
	}
	return fd;
}

static void
take_line(const char *line)
{
	const char *at = strstr(line, "\"args\":[");
	struct timespec t;
	long long sent;

	if (at == NULL || strstr(line, "swarm.probe") == NULL || n_samples == SAMPLES_MAX)
		return;
	sent = strtoll(at + strlen("\"args\":["), NULL, 10);
	(void)clock_gettime(CLOCK_REALTIME, &t);
	samples[n_samples++] = (double)((long long)t.tv_sec * 1000000000 + t.tv_nsec - sent) / 1e6;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
quantile(double q)
{
	size_t i = (size_t)((double)n_samples * q);

	return n_samples == 0 ? 0 : samples[i < n_samples ? i : n_samples - 1];
}

int
main(int argc, char **argv)
{
	static char bytes[1 << 20];
	struct pollfd p[2] = {{.events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	size_t len = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: latency DIR\n");
		return 2;
	}
	p[0].fd = connect_to(argv[1]);
	while (poll(p, 2, -1) > 0) {
		char *line = bytes, *end;
		ssize_t n;

		/* What was sent before the end is read to its end. */
		if ((p[0].revents & (POLLIN | POLLHUP)) == 0)
			break;
		n = read(p[0].fd, bytes + len, sizeof(bytes) - len - 1);
		if (n <= 0)
			break;
		len += (size_t)n;
		bytes[len] = 0;
		while ((end = strchr(line, '\n')) != NULL) {
			*end = 0;
			take_line(line);
			line = end + 1;
		}
		len -= (size_t)(line - bytes);
		memmove(bytes, line, len);
		if (len == sizeof(bytes) - 1)
			len = 0;
	}
	qsort(samples, n_samples, sizeof(samples[0]), by_value);
	printf("{\"probes\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f}\n", n_samples,
	       quantile(.5), quantile(.99), quantile(.999), quantile(1));
	return 0;
}

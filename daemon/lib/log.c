/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_NOTICE] = "notice", [LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* systemd.exec(5): JOURNAL_STREAM holds device and inode of the journal's stream, so that a
 * program can tell whether this descriptor is still that stream. */
static bool
is_journal_stream(int fd)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return text != NULL && sscanf(text, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void
log_init(struct log *log, int fd, enum log_level level)
{
	*log = (struct log){.fd = fd, .level = level, .to_journal = is_journal_stream(fd)};
	(void)pthread_mutex_init(&log->lock, NULL);
}

void
log_fini(struct log *log)
{
	(void)pthread_mutex_destroy(&log->lock);
}

/* The format's site, or the one that was silent longest, taken over. */
static struct log_site *
find_site(struct log *log, const char *format, uint64_t now_ns)
{
	struct log_site *oldest = &log->sites[0];

	for (size_t i = 0; i < LOG_N_SITES; i++) {
		if (log->sites[i].format == format)
			return &log->sites[i];
		if (log->sites[i].since_ns < oldest->since_ns)
			oldest = &log->sites[i];
	}
	*oldest = (struct log_site){.format = format, .since_ns = now_ns};
	return oldest;
}

/* False: left out and counted. */
static bool
admit(struct log *log, const char *format, unsigned *ret_left_out)
{
	struct timespec now;
	uint64_t now_ns;
	struct log_site *site;
	bool ok;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;

	(void)pthread_mutex_lock(&log->lock);
	site = find_site(log, format, now_ns);
	*ret_left_out = 0;
	if (now_ns - site->since_ns > LOG_WINDOW_NS) {
		*ret_left_out = site->n_left_out;
		*site = (struct log_site){.format = format, .since_ns = now_ns};
	}
	ok = site->n_lines < LOG_BURST;
	if (ok)
		site->n_lines++;
	else
		site->n_left_out++;
	(void)pthread_mutex_unlock(&log->lock);
	return ok;
}

void
log_line(struct log *log, enum log_level level, const char *format, ...)
{
	char text[LOG_LINE_MAX];
	unsigned n_left_out;
	struct buf line;
	va_list ap;
	int n;

	if (level > log->level || !admit(log, format, &n_left_out))
		return;
	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text))
		n = sizeof(text) - 1;

	buf_init(&line);
	if (log->to_journal)
		buf_addf(&line, "<%d>", (int)level);
	else
		buf_addf(&line, "pyauditd: %s: ", level_names[level]);
	buf_add_escaped(&line, text, (size_t)n);
	if (n_left_out > 0)
		buf_addf(&line, " (%u lines like this were left out)", n_left_out);
	buf_add_char(&line, '\n');
	if (!line.failed) {
		ssize_t written = write(log->fd, line.data, line.len);

		(void)written; /* nowhere to say that stderr is gone */
	}
	buf_fini(&line);
}

const char *
log_level_name(enum log_level level)
{
	return level_names[level];
}

int
log_level_by_name(const char *name)
{
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++)
		if (strcmp(level_names[i], name) == 0)
			return i;
	return -1;
}

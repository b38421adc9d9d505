/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own log lines, on stderr: with sd-daemon priorities (<3>) where stderr is the
 * journal, else with a word. The whole line is escaped, whoever its parts came from. Lines of one
 * format string beyond LOG_BURST in LOG_WINDOW_NS are counted instead, and the count is said with
 * the next one. Any thread may log.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define LOG_LINE_MAX 2048 /* bytes before escaping */
#define LOG_BURST 10
#define LOG_WINDOW_NS 10000000000u
#define LOG_N_SITES 32 /* format strings told apart at a time */

enum log_level { /* as in syslog(3) */
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

struct log_site {
	const char *format;
	uint64_t since_ns;
	unsigned n_lines, n_left_out;
};

struct log {
	int fd;
	enum log_level level;
	bool to_journal;
	pthread_mutex_t lock; /* sites */
	struct log_site sites[LOG_N_SITES];
};

void log_init(struct log *log, int fd, enum log_level level);
void log_fini(struct log *log);
__attribute__((format(printf, 3, 4))) void log_line(struct log *log, enum log_level level,
						    const char *format, ...);

#define log_error(log, ...) log_line(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_line(log, LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(log, ...) log_line(log, LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(log, ...) log_line(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_line(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

const char *log_level_name(enum log_level level);
/* -1 where there is no such name. */
int log_level_by_name(const char *name);

#endif

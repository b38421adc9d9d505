/* SPDX-License-Identifier: Apache-2.0 */
/* Durations and times as people write them on the command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"

#define YEAR_MS (365ull * 86400000)

bool
ctl_duration(const char *text, uint64_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	unsigned long long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		if (errno != 0 || n == 0 || n > YEAR_MS / units[i].ms)
			return false;
		*ret_ms = n * units[i].ms;
		return true;
	}
	return false;
}

void
ctl_format_time(char ret[CTL_TIME_SIZE], const struct timespec *time)
{
	struct tm utc;

	(void)gmtime_r(&time->tv_sec, &utc);
	(void)strftime(ret, CTL_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(ret + strlen(ret), CTL_TIME_SIZE - strlen(ret), ".%09ldZ", time->tv_nsec);
}

/* "5m" and the like, before now. */
static bool
parse_ago(const char *text, struct timespec *time)
{
	static const struct {
		char unit;
		long long seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	char *end;
	long long n;
	size_t i;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	n = strtoll(text, &end, 10);
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (end[0] != units[i].unit || end[1] != '\0' || errno != 0 ||
		    n > time->tv_sec / units[i].seconds)
			continue;
		time->tv_sec -= n * units[i].seconds;
		return true;
	}
	return false;
}

static bool
parse_date(const char *text, struct timespec *time)
{
	static const char *const formats[] = {
		"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
		"%Y-%m-%d %H:%M",    "%Y-%m-%d",          "%H:%M:%S",
		"%H:%M",
	};
	size_t i;

	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct tm tm = {0};
		const char *end;
		long nanoseconds = 0;

		if (formats[i][1] == 'H') /* today's */
			(void)localtime_r(&time->tv_sec, &tm);
		tm.tm_sec = tm.tm_min = tm.tm_hour = 0;
		tm.tm_isdst = -1;
		end = strptime(text, formats[i], &tm);
		if (end != NULL && *end == '.') {
			long digit = 100000000;

			for (end++; *end >= '0' && *end <= '9'; end++, digit /= 10)
				nanoseconds += (*end - '0') * digit;
		}
		if (end == NULL || (*end != '\0' && strcmp(end, "Z") != 0))
			continue;
		time->tv_sec = *end == 'Z' ? timegm(&tm) : mktime(&tm);
		time->tv_nsec = nanoseconds;
		return true;
	}
	return false;
}

bool
ctl_since(char ret[CTL_TIME_SIZE], const char *text)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_REALTIME, &time);
	if (!parse_ago(text, &time) && !parse_date(text, &time))
		return false;
	if (time.tv_sec < 0 || time.tv_sec > 253402300799) /* four digits of a year */
		return false;
	ctl_format_time(ret, &time);
	return true;
}

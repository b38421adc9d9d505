/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *name;
	enum request_kind kind;
	bool filters; /* takes "filter" and "since" */
} requests[] = {
	{"status", REQUEST_STATUS, false}, {"tail", REQUEST_TAIL, true},
	{"capture", REQUEST_CAPTURE, true}, {"rules", REQUEST_RULES, false},
	{"config", REQUEST_CONFIG, false},
	{"metrics", REQUEST_METRICS, false},
	{"pause", REQUEST_PAUSE, false}, {"resume", REQUEST_RESUME, false},
	{"mode", REQUEST_MODE, false},
	{"reload", REQUEST_RELOAD, false}, {"drain", REQUEST_DRAIN, false},
	{"stop", REQUEST_STOP, false},
};

int
time_parse(uint64_t *ret_ns, const char *text)
{
	struct tm tm = {0};
	uint64_t ns = 0, scale = 100000000;
	int n = 0, hours, minutes;
	int64_t seconds;
	char sign[2];

	if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &n) != 6 ||
	    n != 19)
		return -EINVAL;
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 ||
	    tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return -EINVAL;
	text += n;
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9'; text++, scale /= 10)
			ns += scale * (uint64_t)(*text - '0');
		if (text[-1] == '.')
			return -EINVAL;
	}
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	seconds = timegm(&tm);
	if (sscanf(text, "%1[+-]%2d:%2d%n", sign, &hours, &minutes, &n) == 3 && n == 6 &&
	    text[6] == 0)
		seconds -= (sign[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	else if (strcmp(text, "Z") != 0 && strcmp(text, "z") != 0)
		return -EINVAL;
	if (seconds < 0)
		return -EINVAL;
	*ret_ns = (uint64_t)seconds * 1000000000u + ns;
	return 0;
}

static int
take_span(struct request *request, const cJSON *item, char *error)
{
	if (cJSON_IsNumber(item) && item->valuedouble >= 1 &&
	    item->valuedouble <= REQUEST_PAUSE_MAX && item->valuedouble == item->valueint) {
		request->for_s = (unsigned)item->valueint;
		return 0;
	}
	(void)snprintf(error, REQUEST_ERROR_MAX, "'for_s' must be a number of seconds from 1 to %u",
		       REQUEST_PAUSE_MAX);
	return -EINVAL;
}

/* A text once, copied. */
static int
take_text(char **target, const cJSON *item, char *error)
{
	if (!cJSON_IsString(item) || item->valuestring[0] == 0) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "'%s' must be text", item->string);
		return -EINVAL;
	}
	if (*target != NULL) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "'%s' is given twice", item->string);
		return -EINVAL;
	}
	*target = strdup(item->valuestring);
	return *target != NULL ? 0 : -ENOMEM;
}

/* Of a request `mode`. 1: it is none of its members. */
static int
take_mode(struct request *request, const cJSON *item, char *error)
{
	if (strcmp(item->string, "rule") == 0)
		return take_text(&request->rule, item, error);
	if (strcmp(item->string, "unit") == 0)
		return take_text(&request->unit, item, error);
	if (strcmp(item->string, "file") == 0)
		return take_text(&request->file, item, error);
	if (strcmp(item->string, "host") == 0 && cJSON_IsTrue(item)) {
		request->host = true;
		return 0;
	}
	if (strcmp(item->string, "mode") != 0)
		return 1;
	if (!cJSON_IsString(item) || (strcmp(item->valuestring, "observe") != 0 &&
				      strcmp(item->valuestring, "enforce") != 0)) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "'mode' must be observe or enforce");
		return -EINVAL;
	}
	request->has_mode = true;
	request->observe = item->valuestring[0] == 'o';
	return 0;
}

static int
take_member(struct request *request, const cJSON *item, bool filters, char *error)
{
	if (strcmp(item->string, "request") == 0)
		return 0;
	if (request->kind == REQUEST_MODE) {
		int r = take_mode(request, item, error);

		if (r <= 0)
			return r;
	}
	if (request->kind == REQUEST_PAUSE && strcmp(item->string, "for_s") == 0)
		return take_span(request, item, error);
	if (!filters ||
	    (strcmp(item->string, "filter") != 0 && strcmp(item->string, "since") != 0)) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "unknown field '%.64s'", item->string);
		return -EINVAL;
	}
	if (!cJSON_IsString(item)) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "'%s' must be text", item->string);
		return -EINVAL;
	}
	if (item->string[0] == 'f') {
		if (request->filter != NULL) {
			(void)snprintf(error, REQUEST_ERROR_MAX, "'filter' is given twice");
			return -EINVAL;
		}
		request->filter = strdup(item->valuestring);
		return request->filter != NULL ? 0 : -ENOMEM;
	}
	if (time_parse(&request->since_ns, item->valuestring) < 0) {
		(void)snprintf(error, REQUEST_ERROR_MAX,
			       "'since' must be a time such as 2026-11-22T14:00:00Z");
		return -EINVAL;
	}
	request->has_since = true;
	return 0;
}

static int
take_request(struct request *ret, const cJSON *root, char *error)
{
	const cJSON *name, *item;
	int r;

	if (!cJSON_IsObject(root)) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "a request is one JSON object on one line");
		return -EINVAL;
	}
	name = cJSON_GetObjectItemCaseSensitive(root, "request");
	if (!cJSON_IsString(name)) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "'request' is missing");
		return -EINVAL;
	}
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (strcmp(requests[i].name, name->valuestring) != 0)
			continue;
		ret->kind = requests[i].kind;
		cJSON_ArrayForEach(item, root)
		{
			r = take_member(ret, item, requests[i].filters, error);
			if (r < 0)
				return r;
		}
		if (ret->kind == REQUEST_MODE &&
		    (!ret->has_mode || (ret->rule != NULL) + (ret->unit != NULL) +
						       (ret->file != NULL) + ret->host !=
					       1)) {
			(void)snprintf(error, REQUEST_ERROR_MAX,
				       "a mode needs 'mode' and one of 'rule', 'file', 'unit' and 'host'");
			return -EINVAL;
		}
		return 0;
	}
	(void)snprintf(error, REQUEST_ERROR_MAX, "unknown request '%.64s'", name->valuestring);
	return -EINVAL;
}

int
request_parse(struct request *ret, const char *line, size_t len, char error[REQUEST_ERROR_MAX])
{
	struct request request = {0};
	const char *end = NULL;
	cJSON *root = NULL;
	int r = -EINVAL;

	error[0] = 0;
	/* A NUL would hide what stands behind it. */
	if (len <= REQUEST_MAX && memchr(line, 0, len) == NULL)
		root = cJSON_ParseWithLengthOpts(line, len, &end, 0);
	while (root != NULL && end < line + len && (*end == ' ' || *end == '\t' || *end == '\r'))
		end++;
	if (root == NULL || end != line + len)
		(void)snprintf(error, REQUEST_ERROR_MAX, "not JSON");
	else
		r = take_request(&request, root, error);
	cJSON_Delete(root);
	if (r < 0)
		request_fini(&request);
	else
		*ret = request;
	return r;
}

void
request_fini(struct request *request)
{
	free(request->filter);
	free(request->rule);
	free(request->unit);
	free(request->file);
	*request = (struct request){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "report_read.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "request.h"

bool
report_in_span(const struct report_span *span, uint64_t time_ns)
{
	return time_ns >= span->since_ns && (span->until_ns == 0 || time_ns < span->until_ns);
}

static const char *
text_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	return text != NULL ? text : "";
}

static double
number_of(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble < 9e15
		       ? item->valuedouble
		       : 0;
}

static void
take_line(struct incident *ret, const cJSON *event)
{
	const cJSON *caller = cJSON_GetObjectItemCaseSensitive(event, "caller"), *id;
	const cJSON *per = cJSON_GetObjectItemCaseSensitive(event, "per");
	bool is_summary = strcmp(text_of(event, "kind"), "summary") == 0;
	const char *action = text_of(event, "action");

	*ret = (struct incident){
		.is_denied = strcmp(action, "block") == 0 || strcmp(action, "kill") == 0,
		.is_observed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(event, "observed")),
		.is_loss = strcmp(text_of(event, "kind"), "loss") == 0,
		.is_summary = is_summary,
		.n_suppressed = (uint64_t)number_of(event, "suppressed"),
		.n_denials = (uint64_t)number_of(event, "denials"),
		.lost = (uint64_t)number_of(event, "lost"),
		.pid = (unsigned)number_of(event, "pid"),
		.line = (unsigned)number_of(caller, "line"),
		.rule = text_of(event, "rule"),
		.event = text_of(event, "event"),
		.severity = text_of(event, "severity"),
		.message = text_of(event, "message"),
		.script = text_of(event, "script"),
		.exe = text_of(event, "exe"),
		.unit = text_of(event, "unit"),
		.user = text_of(event, "user"),
		.file = is_summary ? text_of(per, "caller.file") : text_of(caller, "file"),
		.package = "",
	};
	cJSON_ArrayForEach(id, cJSON_GetObjectItemCaseSensitive(caller, "package"))
		if (cJSON_IsString(id) && ret->package[0] == '\0')
			ret->package = id->valuestring;
	cJSON_ArrayForEach(id, cJSON_GetObjectItemCaseSensitive(event, "attack"))
		if (cJSON_IsString(id) && ret->n_attack < TALLY_ATTACK_MAX)
			ret->attack[ret->n_attack++] = id->valuestring;
}

/* 0 also for lines that a report does not count; -EBADMSG: it is no event. */
static int
read_line(struct tally *tally, const struct report_span *span, const char *line, size_t len)
{
	CLEANUP(json_freep) cJSON *event = cJSON_ParseWithLength(line, len);
	struct incident incident;
	const char *kind = text_of(event, "kind");
	uint64_t time_ns;

	if (event == NULL || kind[0] == '\0' || time_parse(&time_ns, text_of(event, "time")) < 0)
		return -EBADMSG;
	if ((strcmp(kind, "alert") != 0 && strcmp(kind, "loss") != 0 &&
	     strcmp(kind, "summary") != 0) ||
	    !report_in_span(span, time_ns))
		return 0;
	take_line(&incident, event);
	incident.time_ns = time_ns;
	return tally_add(tally, &incident) ? 0 : -ENOMEM;
}

int
report_read_file(struct tally *tally, const struct report_span *span, FILE *file,
		 uint64_t *ret_strange)
{
	CLEANUP(freep) char *line = NULL;
	size_t size = 0;
	ssize_t len;

	*ret_strange = 0;
	errno = 0;
	while ((len = getline(&line, &size, file)) >= 0) {
		int r = -EBADMSG;

		if (len > 0 && line[len - 1] == '\n')
			len--;
		if ((size_t)len <= REPORT_LINE_MAX)
			r = read_line(tally, span, line, (size_t)len);
		if (r == -ENOMEM)
			return r;
		*ret_strange += r < 0;
	}
	return ferror(file) ? (errno != 0 ? -errno : -EIO) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl rules schema`: the JSON Schema of rule files. Its shape stands here as text; names of
 * events and classes come from the tables. It says what an editor can check; `rules check` says
 * the rest.
 */
#include <string.h>

#include "cleanup.h"
#include "rules_cmd.h"

static const char before_events[] =
	"{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
	"\"title\":\"Rules of pyaudit\",\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"version\"],\"properties\":{"
	"\"$schema\":{\"type\":\"string\"},"
	"\"version\":{\"const\":1},"
	"\"mode\":{\"$ref\":\"#/$defs/mode\"},"
	"\"lists\":{\"type\":\"object\",\"propertyNames\":{\"$ref\":\"#/$defs/name\"},"
	"\"additionalProperties\":{\"anyOf\":[{\"$ref\":\"#/$defs/values\"},"
	"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"append\"],"
	"\"properties\":{\"append\":{\"$ref\":\"#/$defs/values\"}}}]}},"
	"\"macros\":{\"type\":\"object\",\"propertyNames\":{\"$ref\":\"#/$defs/name\"},"
	"\"additionalProperties\":{\"$ref\":\"#/$defs/condition\"}},"
	"\"redact\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"kind\",\"prefix\",\"min\"],\"properties\":{"
	"\"kind\":{\"type\":\"string\",\"pattern\":\"^[a-z][a-z0-9-]{0,19}$\"},"
	"\"prefix\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_-]{3,32}$\"},"
	"\"of\":{\"enum\":[\"upper\",\"hex\",\"alnum\",\"word\",\"url\"]},"
	"\"min\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":255}}}},"
	"\"rules\":{\"type\":\"array\",\"items\":{\"if\":{\"required\":[\"override\"]},"
	"\"then\":{\"$ref\":\"#/$defs/override\"},\"else\":{\"$ref\":\"#/$defs/rule\"}}}"
	"},\"$defs\":{"
	"\"name\":{\"pattern\":\"^[A-Za-z][A-Za-z0-9_-]{0,63}$\"},"
	"\"id\":{\"type\":\"string\",\"pattern\":\"^[a-z0-9][a-z0-9._-]{0,63}$\"},"
	"\"values\":{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"integer\"]}},"
	"\"mode\":{\"enum\":[\"enforce\",\"observe\"]},"
	"\"condition\":{\"type\":\"string\",\"minLength\":1},"
	"\"conditions\":{\"anyOf\":[{\"$ref\":\"#/$defs/condition\"},"
	"{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/$defs/condition\"}}]},"
	"\"ids\":{\"anyOf\":[{\"$ref\":\"#/$defs/id\"},"
	"{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/$defs/id\"}}]},"
	"\"technique\":{\"type\":\"string\",\"pattern\":\"^T[0-9]{4}([.][0-9]{3})?$\"},"
	"\"attack\":{\"anyOf\":[{\"$ref\":\"#/$defs/technique\"},"
	"{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/$defs/technique\"}}]},"
	"\"duration\":{\"type\":\"string\",\"pattern\":\"^[0-9]+(ms|s|m|h|d)$\"},"
	"\"limit\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"burst\",\"every\"],\"properties\":{"
	"\"per\":{\"anyOf\":[{\"type\":\"string\"},"
	"{\"type\":\"array\",\"maxItems\":8,\"items\":{\"type\":\"string\"}}]},"
	"\"burst\":{\"type\":\"integer\",\"minimum\":1},\"every\":{\"$ref\":\"#/$defs/duration\"}}},"
	"\"exception\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"when\",\"owner\",\"reason\"],\"properties\":{"
	"\"when\":{\"$ref\":\"#/$defs/conditions\"},\"owner\":{\"type\":\"string\"},"
	"\"reason\":{\"type\":\"string\"},"
	"\"expires\":{\"type\":\"string\",\"pattern\":\"^[0-9]{4}-[0-9]{2}-[0-9]{2}$\"}}},"
	"\"exceptions\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/exception\"}},"
	"\"action\":{\"enum\":[\"allow\",\"record\",\"alert\",\"block\",\"kill\"]},"
	"\"severity\":{\"enum\":[\"info\",\"notice\",\"warning\",\"error\",\"critical\"]},";

static const char after_events[] =
	"\"on\":{\"anyOf\":[{\"$ref\":\"#/$defs/event\"},"
	"{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/$defs/event\"}}]},"
	"\"argument\":{\"anyOf\":[{\"type\":[\"string\",\"number\",\"boolean\",\"null\"]},"
	"{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/argument\"}},"
	"{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":1,"
	"\"additionalProperties\":false,\"properties\":{\"object\":{\"type\":\"string\"},"
	"\"bytes\":{\"type\":\"string\"},\"code\":{\"type\":\"string\"}}}]},"
	"\"frame\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
	"\"file\":{\"type\":\"string\"},\"line\":{\"type\":\"integer\",\"minimum\":0},"
	"\"function\":{\"type\":\"string\"},\"module\":{\"type\":\"string\"},"
	"\"package\":{\"type\":\"string\"}}},"
	"\"test\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"event\",\"expect\"],\"properties\":{"
	"\"event\":{\"type\":\"string\"},"
	"\"args\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/argument\"}},"
	"\"proc\":{\"$ref\":\"#/$defs/proc\"},"
	"\"caller\":{\"$ref\":\"#/$defs/frame\"},"
	"\"stack\":{\"type\":\"array\",\"maxItems\":31,\"items\":{\"$ref\":\"#/$defs/frame\"}},"
	"\"layer\":{\"enum\":[\"audit\",\"libc\",\"daemon\"]},"
	"\"real\":{\"type\":\"string\",\"pattern\":\"^/\"},"
	"\"real_target\":{\"type\":\"string\",\"pattern\":\"^/\"},"
	"\"expect\":{\"enum\":[\"none\",\"allow\",\"record\",\"alert\",\"block\",\"kill\"]}}},"
	"\"timed\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"event\"],\"properties\":{"
	"\"event\":{\"type\":\"string\"},"
	"\"args\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/argument\"}},"
	"\"proc\":{\"$ref\":\"#/$defs/proc\"},"
	"\"caller\":{\"$ref\":\"#/$defs/frame\"},"
	"\"stack\":{\"type\":\"array\",\"maxItems\":31,\"items\":{\"$ref\":\"#/$defs/frame\"}},"
	"\"layer\":{\"enum\":[\"audit\",\"libc\",\"daemon\"]},"
	"\"real\":{\"type\":\"string\",\"pattern\":\"^/\"},"
	"\"real_target\":{\"type\":\"string\",\"pattern\":\"^/\"},"
	"\"after\":{\"$ref\":\"#/$defs/duration\"},"
	"\"times\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100000}}},"
	"\"timeline\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"events\",\"expect\"],\"properties\":{"
	"\"events\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/timed\"}},"
	"\"wait\":{\"$ref\":\"#/$defs/duration\"},"
	"\"times\":{\"type\":\"integer\",\"minimum\":1},"
	"\"expect\":{\"enum\":[\"none\",\"record\",\"alert\"]}}},"
	"\"fields\":{\"anyOf\":[{\"type\":\"string\"},"
	"{\"type\":\"array\",\"maxItems\":8,\"items\":{\"type\":\"string\"}}]},"
	"\"scope\":{\"enum\":[\"process\",\"tree\",\"host\"]},"
	"\"step\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"on\"],"
	"\"properties\":{\"on\":{\"$ref\":\"#/$defs/on\"},\"when\":{\"$ref\":\"#/$defs/conditions\"},"
	"\"by\":{\"$ref\":\"#/$defs/fields\"}}},"
	"\"tests\":{\"type\":\"array\",\"items\":{\"if\":{\"required\":[\"events\"]},"
	"\"then\":{\"$ref\":\"#/$defs/timeline\"},\"else\":{\"$ref\":\"#/$defs/test\"}}},";

/* Members of a rule, those of `replace` as well. */
static const char parts[] =
	"\"title\":{\"type\":\"string\",\"minLength\":1},"
	"\"observe_in\":{\"anyOf\":[{\"type\":\"string\"},"
	"{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]},"
	"\"threshold\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"count\",\"within\"],\"properties\":{"
	"\"count\":{\"type\":\"integer\",\"minimum\":2,\"maximum\":10000},"
	"\"within\":{\"$ref\":\"#/$defs/duration\"},\"in\":{\"$ref\":\"#/$defs/scope\"},"
	"\"per\":{\"$ref\":\"#/$defs/fields\"}}},"
	"\"sequence\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"steps\",\"within\"],\"properties\":{"
	"\"steps\":{\"type\":\"array\",\"minItems\":2,\"maxItems\":8,\"items\":{\"$ref\":\"#/$defs/step\"}},"
	"\"within\":{\"$ref\":\"#/$defs/duration\"},\"in\":{\"$ref\":\"#/$defs/scope\"},"
	"\"per\":{\"$ref\":\"#/$defs/fields\"}}},"
	"\"first_seen\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"per\"],\"properties\":{"
	"\"learn\":{\"$ref\":\"#/$defs/duration\"},\"keep\":{\"$ref\":\"#/$defs/duration\"},"
	"\"in\":{\"$ref\":\"#/$defs/scope\"},\"per\":{\"$ref\":\"#/$defs/fields\"}}},"
	"\"absence\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"on\",\"within\"],\"properties\":{"
	"\"on\":{\"$ref\":\"#/$defs/on\"},\"when\":{\"$ref\":\"#/$defs/conditions\"},"
	"\"within\":{\"$ref\":\"#/$defs/duration\"},\"in\":{\"$ref\":\"#/$defs/scope\"},"
	"\"per\":{\"$ref\":\"#/$defs/fields\"}}},"
	"\"on\":{\"$ref\":\"#/$defs/on\"},"
	"\"when\":{\"$ref\":\"#/$defs/conditions\"},"
	"\"action\":{\"$ref\":\"#/$defs/action\"},"
	"\"over\":{\"$ref\":\"#/$defs/ids\"},"
	"\"severity\":{\"$ref\":\"#/$defs/severity\"},"
	"\"attack\":{\"$ref\":\"#/$defs/attack\"},"
	"\"message\":{\"type\":\"string\"},"
	"\"exceptions\":{\"$ref\":\"#/$defs/exceptions\"},"
	"\"limit\":{\"$ref\":\"#/$defs/limit\"},"
	"\"ack\":{\"$ref\":\"#/$defs/duration\"},"
	"\"mode\":{\"$ref\":\"#/$defs/mode\"},"
	"\"tests\":{\"$ref\":\"#/$defs/tests\"}";

static void
add_events(struct buf *out)
{
	struct json json;

	buf_add_str(out, "\"event\":{\"anyOf\":[{\"enum\":");
	json = json_on(out);
	json_array(&json);
	json_str(&json, "@all");
	for (unsigned i = 0; i < PYAUDIT_N_CLASSES; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "@%s", pyaudit_class_names[i]);
		json_str(&json, name);
	}
	for (unsigned event = 1; event < PYAUDIT_N_EVENTS; event++)
		json_str(&json, pyaudit_events[event].name);
	json_array_end(&json);
	buf_add_str(out, "},{\"type\":\"string\",\"pattern\":\"^custom:.\"}]},");
}

/* Facts that a test may give a process. */
static void
add_facts(struct buf *out)
{
	struct json json;

	buf_add_str(out, "\"proc\":{\"type\":\"object\",\"additionalProperties\":false,"
			 "\"properties\":");
	json = json_on(out);
	json_object(&json);
	for (unsigned f = PYAUDIT_F_PROC_PID; f <= PYAUDIT_F_PROC_VENV; f++) {
		json_key(&json, pyaudit_fields[f].name + strlen("proc."));
		json_object(&json);
		json_key(&json, "type");
		json_str(&json, pyaudit_fields[f].type == PYAUDIT_TYPE_INT    ? "integer"
				: pyaudit_fields[f].type == PYAUDIT_TYPE_LIST ? "array"
									      : "string");
		json_key(&json, "description");
		json_str(&json, pyaudit_fields[f].about);
		json_object_end(&json);
	}
	json_object_end(&json);
	buf_add_str(out, "},");
}

int
rules_schema(struct rules_request *request)
{
	CLEANUP(buf_fini) struct buf out;

	(void)request;
	buf_init(&out);
	buf_add_str(&out, before_events);
	add_events(&out);
	add_facts(&out);
	buf_add_str(&out, after_events);
	buf_addf(&out,
		 "\"rule\":{\"type\":\"object\",\"additionalProperties\":false,"
		 "\"required\":[\"id\",\"title\",\"action\"],\"properties\":{"
		 "\"id\":{\"$ref\":\"#/$defs/id\"},%s}},"
		 "\"override\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
		 "\"override\":{\"$ref\":\"#/$defs/id\"},\"enabled\":{\"type\":\"boolean\"},"
		 "\"reason\":{\"type\":\"string\"},"
		 "\"append\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
		 "\"when\":{\"$ref\":\"#/$defs/conditions\"},"
		 "\"exceptions\":{\"$ref\":\"#/$defs/exceptions\"},"
		 "\"attack\":{\"$ref\":\"#/$defs/attack\"},\"tests\":{\"$ref\":\"#/$defs/tests\"}}},"
		 "\"replace\":{\"type\":\"object\",\"additionalProperties\":false,"
		 "\"properties\":{%s}}}}}}",
		 parts, parts);
	return rules_print_json(&out, CTL_OK);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* `pyauditctl config show`: the settings in force and where each came from. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "conf.h"
#include "ctl.h"
#include "json.h"
#include "writer.h"

#define CONF_DEFAULT "/etc/pyaudit/pyauditd.conf"

static const char help[] =
	"Usage: pyauditctl config show [--json] [--dir DIR]\n"
	"       pyauditctl config show [--json] --config FILE\n"
	"\n"
	"Shows every setting with its value and where that came from: a file and line, the command line,\n"
	"or the default. Of the daemon that runs; where none does, what one would begin with.\n"
	"\n"
	"  --json         one JSON object a line\n"
	"  --config FILE  what a daemon would begin with, given this file and the drop-ins of FILE.d\n"
	"  --dir DIR      the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"\n"
	"Examples:\n"
	"  pyauditctl config show\n"
	"  pyauditctl config show --config ./pyauditd.conf\n"
	"\n"
	"Exit status: 0; 1 if the settings have mistakes or cannot be read, 2 mistake on the command\n"
	"line.\n";

struct config {
	const char *dir, *file;
	bool json, help;
};

static int
parse_options(struct config *config, int argc, char **argv)
{
	enum { JSON = 256, FILE_, DIRECTORY, HELP };
	static const struct option options[] = {
		{"json", no_argument, NULL, JSON},
		{"config", required_argument, NULL, FILE_},
		{"dir", required_argument, NULL, DIRECTORY},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case JSON:
			config->json = true;
			break;
		case FILE_:
			config->file = optarg;
			break;
		case DIRECTORY:
			config->dir = optarg;
			break;
		case 'h':
		case HELP:
			config->help = true;
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("config", "option '%s' needs a value",
					       argv[optind - 1]);
		default:
			return ctl_usage_error("config", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind == argc)
		return ctl_usage_error("config", "what? There is 'config show'");
	if (strcmp(argv[optind], "show") != 0)
		return ctl_usage_error("config", "unknown word '%s'; there is 'config show'",
				       argv[optind]);
	if (optind + 1 < argc)
		return ctl_usage_error("config", "unexpected argument '%s'", argv[optind + 1]);
	config->dir = client_directory(config->dir);
	return CTL_OK;
}

static void
print_json(const char *key, const char *value, const char *file, unsigned line)
{
	struct buf text;
	struct json json;

	buf_init(&text);
	json = json_on(&text);
	json_object(&json);
	json_key(&json, "key");
	json_str(&json, key);
	json_key(&json, "value");
	json_str(&json, value);
	json_key(&json, "file");
	json_str(&json, file);
	json_key(&json, "line");
	if (line > 0)
		json_uint(&json, line);
	else
		json_null(&json);
	json_object_end(&json);
	buf_add_char(&text, '\n');
	if (!text.failed)
		(void)fwrite(text.data, 1, text.len, stdout);
	buf_fini(&text);
}

static void
print_setting(void *data, const char *key, const char *value, const char *file, unsigned line)
{
	const struct config *config = data;
	const struct ctl_palette *palette = ctl_palette(stdout);

	if (config->json) {
		print_json(key, value, file, line);
		return;
	}
	(void)printf("%-14s ", key);
	text_print_cell(stdout, value != NULL ? value : "-", 32);
	(void)printf("  %s", palette->dim);
	if (file == NULL)
		(void)printf("default");
	else
		text_print_cell(stdout, file, 0);
	if (line > 0)
		(void)printf(":%u", line);
	(void)printf("%s\n", palette->reset);
}

/* As a daemon would read it. */
static int
show_file(struct config *config, const char *path, bool must_be_there)
{
	struct conf conf;
	struct diag diag;
	int r = conf_init(&conf);

	diag_init(&diag);
	if (r == 0)
		r = conf_load_tree(&conf, path, &diag);
	diag_print(&diag, stderr);
	if (r < 0 && (r != -ENOENT || must_be_there))
		ctl_error("cannot read %s: %s", path, strerror(-r));
	else if (diag.n_errors == 0)
		conf_show(&conf, print_setting, config);
	r = (r < 0 && (r != -ENOENT || must_be_there)) || diag.n_errors > 0 ? CTL_FAILED : CTL_OK;
	diag_fini(&diag);
	conf_fini(&conf);
	return r;
}

static int
show_answer(struct config *config, const cJSON *answer)
{
	const cJSON *setting;

	if (!client_accepted(answer))
		return CTL_FAILED;
	cJSON_ArrayForEach(setting, cJSON_GetObjectItemCaseSensitive(answer, "settings")) {
		const char *key = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(setting, "key"));
		const cJSON *line = cJSON_GetObjectItemCaseSensitive(setting, "line");

		if (key == NULL)
			continue;
		print_setting(config, key,
			      cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(setting, "value")),
			      cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(setting, "file")),
			      cJSON_IsNumber(line) && line->valueint > 0 ? (unsigned)line->valueint : 0);
	}
	return CTL_OK;
}

int
cmd_config(int argc, char **argv)
{
	CLEANUP(client_close) struct client client = CLIENT_INIT;
	CLEANUP(json_freep) cJSON *answer = NULL;
	struct config config = {0};
	int r = parse_options(&config, argc, argv);

	if (r != CTL_OK || config.help)
		return r;
	if (config.file != NULL)
		return show_file(&config, config.file, true);
	r = client_open(&client, config.dir);
	if (r == 0)
		r = client_ask(&client, "config", &answer, NULL);
	if (r == 0)
		return show_answer(&config, answer);
	if (r != -ENOENT && r != -ECONNREFUSED) {
		client_explain(config.dir, r);
		return CTL_FAILED;
	}
	(void)fprintf(stderr, "pyauditctl: no daemon at %s: this is what one would begin with\n",
		      config.dir);
	return show_file(&config, CONF_DEFAULT, false);
}

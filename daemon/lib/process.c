/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "json.h"
#include "secrets.h"

void
users_load(struct users *users, const char *path)
{
	CLEANUP(fclosep) FILE *file = fopen(path, "re");
	const struct passwd *entry;

	users_fini(users);
	if (file == NULL)
		return;
	users->users = calloc(PROCESS_UIDS_MAX, sizeof(users->users[0]));
	if (users->users == NULL)
		return;
	while (users->n_users < PROCESS_UIDS_MAX && (entry = fgetpwent(file)) != NULL) {
		users->users[users->n_users].uid = entry->pw_uid;
		users->users[users->n_users].name = strdup(entry->pw_name);
		if (users->users[users->n_users].name != NULL)
			users->n_users++;
	}
}

void
users_fini(struct users *users)
{
	for (size_t i = 0; i < users->n_users; i++)
		free(users->users[i].name);
	free(users->users);
	*users = (struct users){0};
}

const char *
users_name(const struct users *users, uid_t uid)
{
	for (size_t i = 0; i < users->n_users; i++)
		if (users->users[i].uid == uid)
			return users->users[i].name;
	return NULL;
}

/* Reads at most @size - 1 bytes of /proc/PID/@name and terminates them; their number or -1. */
static ssize_t
read_proc(const char *proc, pid_t pid, const char *name, char *out, size_t size)
{
	CLEANUP(closep) int fd = -1;
	char path[256];
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/%d/%s", proc, (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -1;
	while (len < size - 1) {
		ssize_t n = read(fd, out + len, size - 1 - len);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	out[len] = 0;
	return (ssize_t)len;
}

/* The link's text, or a copy of the agent's word, or NULL. */
static char *
read_link(const char *proc, pid_t pid, const char *name, const char *word)
{
	char path[256], text[PROCESS_TEXT_MAX];
	ssize_t n = -1;

	if (proc != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%d/%s", proc, (int)pid, name);
		n = readlink(path, text, sizeof(text));
	}
	if (n > 0)
		return strndup(text, (size_t)n);
	return word[0] != 0 ? strndup(word, PROCESS_TEXT_MAX) : NULL;
}

/* The path of the unified hierarchy, else of systemd's own. */
static char *
read_cgroup(const char *proc, pid_t pid, const char *word)
{
	char text[PROCESS_TEXT_MAX * 2];
	char *found = NULL, *save = NULL;

	if (proc != NULL && read_proc(proc, pid, "cgroup", text, sizeof(text)) > 0)
		for (char *line = strtok_r(text, "\n", &save); line != NULL;
		     line = strtok_r(NULL, "\n", &save)) {
			char *named = strstr(line, ":name=systemd:");

			if (strncmp(line, "0::", 3) == 0 && line[3] != 0 &&
			    (found == NULL || strcmp(line + 3, "/") != 0))
				found = line + 3;
			else if (named != NULL)
				found = named + strlen(":name=systemd:");
		}
	if (found != NULL)
		return strndup(found, PROCESS_TEXT_MAX);
	return word[0] != 0 ? strndup(word, PROCESS_TEXT_MAX) : NULL;
}

/* Credentials on a command line are for nobody to read. @cut: the last word may have lost its end. */
static void
redact_argv(struct process *p, bool cut)
{
	struct pyaudit_secrets secrets = {.word = true};

	for (size_t i = 0; i < p->n_argv; i++) {
		struct pyaudit_value v = pyaudit_value_text(p->argv[i], strlen(p->argv[i]));
		struct pyaudit_secrets dry;
		char *clean;
		size_t n;

		if (cut && i == p->n_argv - 1)
			v.flags = PYAUDIT_VALUE_CUT;
		if (!pyaudit_secret_likely(&secrets, &v))
			continue;
		dry = secrets;
		n = pyaudit_redact(&dry, &v, NULL, 0);
		clean = malloc(n + 1);
		if (clean == NULL) {
			p->argv[i][0] = 0; /* rather nothing than what may be a secret */
			continue;
		}
		(void)pyaudit_redact(&secrets, &v, clean, n);
		clean[n] = 0;
		free(p->argv[i]);
		p->argv[i] = clean;
	}
}

static void
read_argv(struct process *p, const char *proc, const struct hello *hello)
{
	char text[PROCESS_CMDLINE_MAX];
	const char *at = text, *end;
	char **shorter;
	ssize_t n = -1;

	p->argv = calloc(PYAUDIT_LIST_MAX, sizeof(p->argv[0]));
	if (p->argv == NULL)
		return;
	if (proc != NULL)
		n = read_proc(proc, p->pid, "cmdline", text, sizeof(text));
	if (n <= 0) { /* gone, a zombie, or hidden */
		for (unsigned i = 0; i < hello->n_argv; i++) {
			p->argv[p->n_argv] = strdup(hello->argv[i]);
			if (p->argv[p->n_argv] != NULL)
				p->n_argv++;
		}
		redact_argv(p, false);
		return; /* so few that what is over does not matter */
	}
	for (end = text + n; at < end && p->n_argv < PYAUDIT_LIST_MAX; at += strlen(at) + 1) {
		p->argv[p->n_argv] = strdup(at);
		if (p->argv[p->n_argv] != NULL)
			p->n_argv++;
	}
	redact_argv(p, n == sizeof(text) - 1);
	shorter = reallocarray(p->argv, p->n_argv + 1, sizeof(p->argv[0]));
	if (shorter != NULL)
		p->argv = shorter;
}

/* Parent and start time from stat, whose second field may hold blanks and parentheses. */
static bool
read_stat(const char *proc, pid_t pid, int *ret_ppid, unsigned long long *ret_start)
{
	char text[1024], *at;

	if (read_proc(proc, pid, "stat", text, sizeof(text)) <= 0)
		return false;
	at = strrchr(text, ')');
	return at != NULL &&
	       sscanf(at + 1,
		      " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
		      "%*d %llu",
		      ret_ppid, ret_start) == 2;
}

pid_t
process_parent(const char *proc, pid_t pid)
{
	unsigned long long ticks;
	int ppid;

	return read_stat(proc, pid, &ppid, &ticks) ? (pid_t)ppid : 0;
}

uint64_t
process_started_ns(const char *proc, pid_t pid)
{
	unsigned long long ticks;
	int ppid;

	if (!read_stat(proc, pid, &ppid, &ticks))
		return 0;
	return ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void
set_text(struct pyaudit_facts *facts, unsigned field, const char *s)
{
	if (s != NULL && s[0] != 0)
		facts->fact[field - PYAUDIT_F_PROC_PID] = pyaudit_value_text(s, strlen(s));
}

static void
set_int(struct pyaudit_facts *facts, unsigned field, int64_t i)
{
	facts->fact[field - PYAUDIT_F_PROC_PID] = pyaudit_value_int(i);
}

static char *
copy_value(struct pyaudit_value v)
{
	return v.type != 0 ? strndup(v.s, v.len) : NULL;
}

/* What follows from the texts, and the facts that conditions ask for. */
static void
derive(struct process *p)
{
	struct pyaudit_value argv = {.type = PYAUDIT_TAG_LIST};
	struct pyaudit_value cgroup = {0};
	const char *name = p->exe != NULL ? strrchr(p->exe, '/') : NULL;
	char script[PROCESS_TEXT_MAX];

	for (size_t i = 0; i < p->n_argv; i++)
		p->argv_values[i] = pyaudit_value_text(p->argv[i], strlen(p->argv[i]));
	argv.items = p->argv_values;
	argv.n_items = (uint16_t)p->n_argv;
	argv.full_len = (uint32_t)p->n_argv;
	if (p->cgroup != NULL)
		cgroup = pyaudit_value_text(p->cgroup, strlen(p->cgroup));
	p->script = copy_value(pyaudit_script_of(&argv, script, sizeof(script)));
	p->unit = copy_value(pyaudit_unit_of(&cgroup));
	p->container = copy_value(pyaudit_container_of(&cgroup));

	set_int(&p->facts, PYAUDIT_F_PROC_PID, p->pid);
	set_int(&p->facts, PYAUDIT_F_PROC_PPID, p->ppid);
	set_int(&p->facts, PYAUDIT_F_PROC_UID, p->uid);
	set_int(&p->facts, PYAUDIT_F_PROC_GID, p->gid);
	set_text(&p->facts, PYAUDIT_F_PROC_EXE, p->exe);
	set_text(&p->facts, PYAUDIT_F_PROC_NAME, name != NULL ? name + 1 : p->exe);
	set_text(&p->facts, PYAUDIT_F_PROC_SCRIPT, p->script);
	set_text(&p->facts, PYAUDIT_F_PROC_CWD, p->cwd);
	set_text(&p->facts, PYAUDIT_F_PROC_CGROUP, p->cgroup);
	set_text(&p->facts, PYAUDIT_F_PROC_UNIT, p->unit);
	set_text(&p->facts, PYAUDIT_F_PROC_CONTAINER, p->container);
	set_text(&p->facts, PYAUDIT_F_PROC_PYTHON, p->python);
	set_text(&p->facts, PYAUDIT_F_PROC_VENV, p->venv);
	if (p->n_argv > 0)
		p->facts.fact[PYAUDIT_F_PROC_ARGV - PYAUDIT_F_PROC_PID] = argv;
}

static void
write_json(struct process *p)
{
	struct json json = json_on(&p->json);

	json_key(&json, "ppid");
	json_int(&json, p->ppid);
	json_key(&json, "uid");
	json_uint(&json, p->uid);
	json_key(&json, "user");
	json_str(&json, p->user);
	if (p->loginuid >= 0) {
		json_key(&json, "loginuid");
		json_int(&json, p->loginuid);
	}
	json_key(&json, "exe");
	json_str(&json, p->exe);
	json_key(&json, "script");
	json_str(&json, p->script);
	json_key(&json, "argv");
	json_array(&json);
	for (size_t i = 0; i < p->n_argv; i++)
		json_str(&json, p->argv[i]);
	json_array_end(&json);
	json_key(&json, "cwd");
	json_str(&json, p->cwd);
	json_key(&json, "unit");
	json_str(&json, p->unit);
	json_key(&json, "cgroup");
	json_str(&json, p->cgroup);
	json_key(&json, "container");
	json_str(&json, p->container);
}

static struct process *
begin(const struct hello *hello, pid_t pid, uid_t uid, gid_t gid)
{
	struct process *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->n_refs = 1;
	p->pid = pid;
	p->ppid = (pid_t)hello->ppid;
	p->uid = uid;
	p->gid = gid;
	p->loginuid = -1;
	p->start_ns = hello->start_ns;
	p->route = hello->route;
	p->reason = hello->reason;
	return p;
}

/* The texts, from /proc or the agent's word, and what follows from them. */
static struct process *
complete(struct process *p, const struct hello *hello, const char *proc)
{
	p->exe = read_link(proc, p->pid, "exe", hello->exe);
	p->cwd = read_link(proc, p->pid, "cwd", hello->cwd);
	p->cgroup = read_cgroup(proc, p->pid, hello->cgroup);
	p->python = hello->python[0] != 0 ? strdup(hello->python) : NULL;
	p->venv = hello->venv[0] != 0 ? strdup(hello->venv) : NULL;
	read_argv(p, proc, hello);
	p->argv_values = calloc(p->n_argv + 1, sizeof(p->argv_values[0]));
	if (p->argv_values == NULL) {
		process_unref(p);
		return NULL;
	}
	derive(p);
	write_json(p);
	buf_trim(&p->json);
	if (p->json.failed) {
		process_unref(p);
		return NULL;
	}
	return p;
}

struct process *
process_new(const struct hello *hello, pid_t pid, uid_t uid, gid_t gid, const char *proc,
	    const struct users *users)
{
	struct process *p = begin(hello, pid, uid, gid);
	unsigned long long ticks;
	char text[64];
	int ppid;

	if (p == NULL)
		return NULL;
	p->from_proc = proc != NULL && read_stat(proc, pid, &ppid, &ticks);
	if (!p->from_proc)
		proc = NULL;
	/* 0 where the parent is out of sight, and where the process is ending this moment: then its
	 * own word is all there is, if it counts in our numbers. */
	else if (ppid != 0 || hello->pid != (uint32_t)pid)
		p->ppid = ppid;
	if (proc != NULL && read_proc(proc, pid, "loginuid", text, sizeof(text)) > 0) {
		unsigned long loginuid = strtoul(text, NULL, 10);

		if (loginuid < UINT32_MAX)
			p->loginuid = (int64_t)loginuid;
	}
	if (users_name(users, uid) != NULL)
		p->user = strdup(users_name(users, uid));
	return complete(p, hello, proc);
}

struct process *
process_known(const struct hello *hello, pid_t pid, uid_t uid, gid_t gid, int64_t loginuid,
	      const char *user)
{
	struct process *p = begin(hello, pid, uid, gid);

	if (p == NULL)
		return NULL;
	p->loginuid = loginuid;
	if (user[0] != 0)
		p->user = strdup(user);
	return complete(p, hello, NULL);
}

void
process_keep_hello(struct process *process, uint32_t key, const uint8_t *payload, size_t length)
{
	process->key = key;
	process->hello = malloc(length);
	if (process->hello == NULL)
		return; /* captures do without this process */
	memcpy(process->hello, payload, length);
	process->n_hello = length;
}

size_t
process_memory(const struct process *process)
{
	size_t size = sizeof(*process) + process->n_hello + process->json.size;

	for (size_t i = 0; i < process->n_argv; i++)
		size += sizeof(process->argv[i]) + strlen(process->argv[i]) + 1;
	return size;
}

struct process *
process_ref(struct process *process)
{
	process->n_refs++;
	return process;
}

void
process_unref(struct process *p)
{
	if (p == NULL || --p->n_refs > 0)
		return;
	free(p->hello);
	free(p->user);
	free(p->exe);
	free(p->cwd);
	free(p->cgroup);
	free(p->unit);
	free(p->container);
	free(p->python);
	free(p->venv);
	free(p->script);
	for (size_t i = 0; i < p->n_argv; i++)
		free(p->argv[i]);
	free(p->argv);
	free(p->argv_values);
	buf_fini(&p->json);
	free(p);
}

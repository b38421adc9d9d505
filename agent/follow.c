/* SPDX-License-Identifier: Apache-2.0 */
#include "follow.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "status.h"

#define PRELOAD "LD_PRELOAD"

#define PRELOAD_MAX 1024 /* of the path by which LD_PRELOAD names us, with the NUL */

/* With what has a value from the beginning, so that no other page is touched in a program that is no Python. */
static struct {
	bool carried;  /* follows without a policy to ask */
	bool unmarked; /* by its own environment: it may give a child another one of ours */
	bool all;      /* what the policy of the agent said that carried us here */
	bool observes;
	char dir[sizeof(agent.dir)];
	char preload[PRELOAD_MAX]; /* how LD_PRELOAD names us; "": not preloaded, nothing is followed */
} follow __attribute__((section(".data")));

/* The value where @entry is the variable @name, or NULL. */
static const char *
value_of(const char *entry, const char *name, size_t len)
{
	return strncmp(entry, name, len) == 0 && entry[len] == '=' ? entry + len + 1 : NULL;
}

#define VALUE_OF(entry, name) value_of((entry), (name), sizeof(name) - 1)

/* The last of that name, which is the one that the loader heeds. */
static char *const *
find_last(char *const *envp, const char *name)
{
	char *const *found = NULL;
	size_t len = strlen(name);

	for (; envp != NULL && *envp != NULL; envp++)
		if (value_of(*envp, name, len) != NULL)
			found = envp;
	return found;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* Where LD_PRELOAD is what brought us: not a .pth line, and not /etc/ld.so.preload, which brings us
 * to children by itself. */
static void
remember_preload(const char *value)
{
	Dl_info info;
	size_t len;

	if (value == NULL || dladdr(&follow, &info) == 0 || info.dli_fname == NULL)
		return;
	len = strlen(info.dli_fname);
	if (info.dli_fname[0] == '/' && len < sizeof(follow.preload) &&
	    strstr(value, base_name(info.dli_fname)) != NULL)
		memcpy(follow.preload, info.dli_fname, len + 1);
}

static void
remove_entry(char *const *at)
{
	char **from = environ + (at - environ);

	do
		from[0] = from[1];
	while (*from++ != NULL);
}

static void
set_dir(const char *dir)
{
	size_t len = strlen(dir);

	if (len < sizeof(follow.dir))
		memcpy(follow.dir, dir, len + 1);
}

static __attribute__((noinline)) void
take_mark(void)
{
	char *const *mark =
		find_last(environ, FOLLOW_MARK); /* ours: earlier ones are the program's */
	const char *text = VALUE_OF(*mark, FOLLOW_MARK);
	char *const *preload = find_last(environ, PRELOAD);
	const char *colon = strchr(text, ':');
	char *end;
	unsigned long prefix;

	if (text[0] == '\0' || colon == NULL)
		return; /* not of ours: the program's own business */
	follow.carried = true;
	follow.all = text[0] == 'a' || text[0] == 'A';
	follow.observes = text[0] == 'A' || text[0] == 'I';
	set_dir(colon + 1);
	if (preload != NULL)
		remember_preload(VALUE_OF(*preload, PRELOAD));
	prefix = strtoul(text + 1, &end, 10);
	if (preload != NULL && end == colon && end != text + 1) {
		char *value = *preload + sizeof(PRELOAD);

		if (prefix == 0)
			remove_entry(preload);
		else if (prefix <= strlen(value))
			memmove(value, value + prefix, strlen(value + prefix) + 1);
	}
	remove_entry(find_last(environ, FOLLOW_MARK));
}

/*
 * What every program that inherits the preload runs at its start. Nothing of libc is called here: the loader binds a
 * function when it is first called, which costs a program that is no Python more than all of the rest. The empty
 * statements keep the compiler from making calls of these loops.
 */
#define IN_LINE __asm__ volatile("")

struct variables {
	const char *preload, *mark, *dir, *disable, *mode; /* values; NULL: not set */
};

/* What stands in @text behind @begin, or NULL where it begins in another way. */
static inline const char *
behind(const char *text, const char *begin)
{
	for (; *begin != '\0'; begin++, text++) {
		IN_LINE;
		if (*text != *begin)
			return NULL;
	}
	return text;
}

/* The first of that name, as getenv does. */
static inline void
take(const char **value, const char *entry, const char *name)
{
	if (*value == NULL)
		*value = behind(entry, name);
}

static struct variables
read_variables(void)
{
	char *const *envp = environ;
	struct variables found = {NULL, NULL, NULL, NULL, NULL};

	for (; envp != NULL && *envp != NULL; envp++) {
		const char *entry = *envp;

		if (entry[0] == 'L')
			take(&found.preload, entry, PRELOAD "=");
		if (entry[0] != 'P' || entry[1] != 'Y' || entry[2] != 'A')
			continue;
		take(&found.mark, entry, FOLLOW_MARK "=");
		take(&found.dir, entry, PYAUDIT_ENV_DIR "=");
		take(&found.disable, entry, PYAUDIT_ENV_DISABLE "=");
		take(&found.mode, entry, PYAUDIT_ENV_MODE "=");
	}
	return found;
}

static inline bool
ends_item(char c)
{
	return c == '\0' || c == ':' || c == ' ';
}

/* Text of @n bytes, if it fits with a NUL. */
static inline bool
keep(char *to, size_t size, const char *from, size_t n)
{
	if (n >= size)
		return false;
	for (; n >= 8; n -= 8, to += 8, from += 8) {
		IN_LINE;
		__builtin_memcpy(to, from, 8);
	}
	for (; n > 0; n--) {
		IN_LINE;
		*to++ = *from++;
	}
	*to = '\0';
	return true;
}

/* How @value, LD_PRELOAD's, names us. */
static bool
remember_name(const char *value)
{
	const char *item = value, *name = value;

	for (const char *at = value;; at++) {
		while (*at > ':') /* what most of a path consists of */
			at++;
		if (*at == '/')
			name = at + 1;
		if (!ends_item(*at))
			continue;
		if (*item == '/' && behind(name, FOLLOW_LIBRARY) == at &&
		    keep(follow.preload, sizeof(follow.preload), item, (size_t)(at - item)))
			return true;
		if (*at == '\0')
			return false;
		item = name = at + 1;
	}
}

/* The first program of a unit, or of a container: it may be a shell, or `env -i`, before Python. */
static void
begin_unmarked(const struct variables *set)
{
	const char *dir = set->dir != NULL && set->dir[0] == '/' ? set->dir : PYAUDIT_DIR_DEFAULT;
	const char *end;
	size_t n = 0;

	if ((set->disable != NULL && set->disable[0] != '\0') || !remember_name(set->preload))
		return;
	for (; dir[n] != '\0'; n++)
		IN_LINE;
	(void)keep(follow.dir, sizeof(follow.dir), dir, n);
	end = set->mode != NULL ? behind(set->mode, PYAUDIT_MODE_OBSERVE) : NULL;
	follow.observes = end != NULL && *end == '\0';
	follow.carried = follow.unmarked = true;
}

bool
follow_arrive(void)
{
	struct variables set = read_variables();

	if (set.preload == NULL)
		return false;
	if (set.mark != NULL)
		take_mark();
	else
		begin_unmarked(&set);
	return true;
}

const char *
follow_dir(void)
{
	return follow.dir[0] != '\0' ? follow.dir : NULL;
}

bool
follow_observes(void)
{
	return follow.observes;
}

void
follow_begin(const char *dir, bool observes)
{
	set_dir(dir);
	follow.observes = observes;
	if (follow.preload[0] == '\0')
		remember_preload(getenv(PRELOAD));
}

/* What a program is, as far as following goes. */

struct program {
	bool exists;
	bool wanted;	    /* Python, a shell, or what starts other programs */
	const char *leaves; /* why the agent cannot come with it, or NULL */
};

/* Names that stand in the list itself: a pointer to each would be relocated in every program. */
typedef const char name_list[][8];

static bool
is_one_of(const char *name, name_list names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(names[i]);

		/* With or without a version behind it: perl5.36, node18. */
		if (strncmp(name, names[i], len) == 0 &&
		    name[len + strspn(name + len, "0123456789.-")] == '\0')
			return true;
	}
	return false;
}

#define IS_ONE_OF(name, names) is_one_of((name), (names), sizeof(names) / sizeof((names)[0]))

static void
judge_name(struct program *program, const char *name)
{
	static name_list wanted = {
		"python",  "sh",     "bash", "dash",	"zsh",	   "ksh",    "ash",    "fish",
		"busybox", "env",    "nice", "nohup",	"timeout", "setsid", "stdbuf", "xargs",
		"time",	   "ionice", "chrt", "taskset", "flock",   "uwsgi",  "gdb"};
	static name_list interpreters = {"perl", "ruby", "node",  "nodejs", "php",
					 "lua",	 "java", "tclsh", "pypy",   "pypy3"};

	if (strncmp(name, "python", 6) == 0 || IS_ONE_OF(name, wanted))
		program->wanted = true;
	else if (IS_ONE_OF(name, interpreters))
		program->leaves = "interpreter";
}

/* "#!/usr/bin/env -S VAR=x python3 -I": the program that runs the script. */
static void
judge_script(struct program *program, char *line)
{
	static const char blanks[] = " \t";
	char *save = NULL;
	char *word = strtok_r(line + 2, blanks, &save);

	if (word == NULL)
		return;
	if (strcmp(base_name(word), "env") == 0)
		do
			word = strtok_r(NULL, blanks, &save);
		while (word != NULL && (word[0] == '-' || strchr(word, '=') != NULL));
	judge_name(program, word != NULL ? base_name(word) : "env");
}

/* Static programs name no loader; those of another architecture or libc have one we do not fit. */
static void
judge_elf(struct program *program, const char *head, size_t len)
{
	ElfW(Ehdr) ehdr;

	if (len < sizeof(ehdr))
		return;
	memcpy(&ehdr, head, sizeof(ehdr));
	if (ehdr.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)) {
		program->leaves = "foreign";
		return;
	}
	program->leaves = "static";
	for (unsigned i = 0; i < ehdr.e_phnum; i++) {
		size_t at = ehdr.e_phoff + i * sizeof(ElfW(Phdr));
		ElfW(Phdr) part;

		if (ehdr.e_phoff > len || at + sizeof(part) > len) {
			program->leaves = NULL; /* beyond what was read */
			return;
		}
		memcpy(&part, head + at, sizeof(part));
		if (part.p_type != PT_INTERP)
			continue;
		program->leaves = NULL;
		if (part.p_offset < len && part.p_filesz <= len - part.p_offset &&
		    memmem(head + part.p_offset, part.p_filesz, "/ld-musl", 8) != NULL)
			program->leaves = "foreign";
		return;
	}
}

/* File capabilities have the loader drop the preload, as a set-user-id bit does. */
static bool
is_privileged(int fd, const struct stat *st)
{
	bool other = ((st->st_mode & S_ISUID) != 0 && st->st_uid != geteuid()) ||
		     ((st->st_mode & S_ISGID) != 0 && st->st_gid != getegid());

	return other || syscall(SYS_fgetxattr, fd, "security.capability", NULL, 0) > 0;
}

static struct program
look_at(int dirfd, const char *path, int flags, const char *shown)
{
	struct program program = {0};
	char head[FOLLOW_HEAD + 1];
	bool by_fd = path[0] == '\0' && (flags & AT_EMPTY_PATH) != 0;
	int fd = by_fd ? dirfd
		       : (int)syscall(SYS_openat, dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	judge_name(&program, base_name(shown));
	/* What may be run and not be read is known by its name alone. */
	program.exists = fd >= 0 || faccessat(dirfd, path, X_OK, 0) == 0;
	if (fd < 0)
		return program;
	n = pread(fd, head, FOLLOW_HEAD, 0);
	head[n > 0 ? n : 0] = '\0';
	if (n > 2 && head[0] == '#' && head[1] == '!') {
		head[strcspn(head, "\n")] = '\0';
		judge_script(&program, head);
	} else if (n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
		struct program file = {0};

		judge_elf(&file, head, (size_t)n);
		if (file.leaves == NULL && status_of(fd, &st) == 0 && is_privileged(fd, &st))
			file.leaves = "setuid";
		if (file.leaves != NULL)
			program.leaves = file.leaves;
	}
	if (!by_fd)
		(void)close(fd);
	return program;
}

/* What the environment of a program lacks. */

struct need {
	char *const *preload; /* its LD_PRELOAD, or NULL */
	bool loads;	      /* names us */
	bool finds;	      /* leads to our runtime directory, and to a mode like ours */
	bool disables;
};

static struct need
look_into(char *const *envp)
{
	char *const *dir = find_last(envp, PYAUDIT_ENV_DIR);
	char *const *disable = find_last(envp, PYAUDIT_ENV_DISABLE);
	char *const *mode = find_last(envp, PYAUDIT_ENV_MODE);
	bool observes = mode != NULL &&
			strcmp(VALUE_OF(*mode, PYAUDIT_ENV_MODE), PYAUDIT_MODE_OBSERVE) == 0;
	struct need need = {.preload = find_last(envp, PRELOAD)};

	need.loads = need.preload != NULL &&
		     strstr(VALUE_OF(*need.preload, PRELOAD), base_name(follow.preload)) != NULL;
	need.finds = find_last(envp, FOLLOW_MARK) == NULL && observes == follow.observes &&
		     strcmp(dir != NULL ? VALUE_OF(*dir, PYAUDIT_ENV_DIR) : PYAUDIT_DIR_DEFAULT,
			    follow.dir) == 0;
	need.disables = disable != NULL && VALUE_OF(*disable, PYAUDIT_ENV_DISABLE)[0] != '\0';
	return need;
}

size_t
follow_count(char *const *envp)
{
	size_t n = 0;

	while (envp != NULL && envp[n] != NULL)
		n++;
	return n;
}

/* Entries of @envp but for its LD_PRELOAD, then the mark and ours. False: it does not fit. */
static bool
extend(char *const *envp, const struct need *need, bool all, struct follow_room *room)
{
	const char *theirs = need->preload != NULL ? VALUE_OF(*need->preload, PRELOAD) : NULL;
	char mode = all ? 'a' : 'i', prefix[24] = "-";
	size_t n = 0, used;
	int len;

	for (; envp != NULL && *envp != NULL; envp++)
		if (need->loads || envp != need->preload)
			room->list[n++] = *envp;
	if (!need->loads)
		(void)snprintf(prefix, sizeof(prefix), "%zu",
			       theirs != NULL ? strlen(follow.preload) + 1 : 0);
	if (follow.observes)
		mode = all ? 'A' : 'I';
	len = snprintf(room->text, sizeof(room->text), FOLLOW_MARK "=%c%s:%s", mode, prefix,
		       follow.dir);
	used = (size_t)len + 1;
	room->list[n++] = room->text;
	if (!need->loads) {
		len = snprintf(room->text + used, sizeof(room->text) - used, PRELOAD "=%s%s%s",
			       follow.preload, theirs != NULL ? ":" : "",
			       theirs != NULL ? theirs : "");
		if ((size_t)len >= sizeof(room->text) - used)
			return false;
		room->list[n++] = room->text + used;
	}
	room->list[n] = NULL;
	return true;
}

static int
tell_leaving(const char *path, const char *why)
{
	struct pyaudit_value args[2] = {pyaudit_value_text(path, strnlen(path, PYAUDIT_TEXT_MAX)),
					pyaudit_value_text(why, strlen(why))};

	return -hook_native("pyaudit.leaves", args, 2, NULL, NULL);
}

int
follow_program(int dirfd, const char *path, int flags, const char *shown, char *const **envp,
	       struct follow_room *room)
{
	const struct policy *policy = atomic_load_explicit(&agent.policy, memory_order_acquire);
	uint32_t options = policy != NULL ? pyaudit_image_flags(policy->image) : 0;
	bool all = policy != NULL ? (options & PYAUDIT_IMAGE_FOLLOW_ALL) != 0 : follow.all;
	struct need need;
	struct program program;

	if ((policy == NULL && !follow.carried) || follow.preload[0] == '\0' || path == NULL)
		return 0;
	need = look_into(*envp);
	if (policy == NULL && follow.unmarked && need.loads)
		return 0;
	if (need.loads && need.finds && !need.disables && !hook_asks("pyaudit.leaves"))
		return 0;
	program = look_at(dirfd, path, flags, shown);
	if (!program.exists)
		return 0;
	if (program.leaves == NULL && need.disables && program.wanted)
		program.leaves = "disabled";
	if (program.leaves == NULL && (!need.loads || !need.finds) && (program.wanted || all)) {
		/* Not a path that the program, in a root of its own, cannot find: the loader says
		 * so where everybody sees it. */
		if ((options & PYAUDIT_IMAGE_STAY) == 0 &&
		    faccessat(AT_FDCWD, follow.preload, R_OK, 0) == 0 &&
		    extend(*envp, &need, all, room))
			*envp = room->list;
		else
			program.leaves = "environment";
	}
	return program.leaves != NULL ? tell_leaving(shown, program.leaves) : 0;
}

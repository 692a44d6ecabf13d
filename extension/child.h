/*
 * child.h - a program run as child of a background worker, with a pipe for reports and one for its log.
 */
#ifndef WALHOUSE_CHILD_H
#define WALHOUSE_CHILD_H

#include <sys/types.h>

typedef struct ChildProcess
{
	pid_t		pid;			/* 0: none is running */
	int			report_fd;		/* our end, non-blocking; -1: closed */
	int			log_fd;			/* the child's stdout and stderr; likewise */
} ChildProcess;

/* The child sees its end of the report pipe as this file descriptor, and none but it and the standard ones. */
#define CHILD_REPORT_FD 3

/*
 * Starts path with argv (NULL-terminated), and added (NAME=value, NULL-terminated) in its environment
 * beside what every child gets of the server's. The child dies when this process does, however that happens. Raises an ERROR,
 * leaving nothing behind, when there is no pipe or process to be had; a program that cannot be executed exits with 127
 * and says why in its log.
 */
extern void child_start(ChildProcess *child, const char *path, char *const argv[], char *const added[]);

/* Closes our ends of the pipes. */
extern void child_close_pipes(ChildProcess *child);

/* true when the child has ended: *status is as waitpid() gives it, and pid is 0. Does not wait. */
extern bool child_has_ended(ChildProcess *child, int *status);

/* SIGTERM, up to grace_ms of waiting, SIGKILL. Returns when the child has ended. */
extern void child_stop(ChildProcess *child, int grace_ms);

#endif

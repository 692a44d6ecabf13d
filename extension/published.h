/*
 * published.h - what a list of publications says about one relation.
 */
#ifndef WALHOUSE_PUBLISHED_H
#define WALHOUSE_PUBLISHED_H

#include "catalog/pg_publication.h"
#include "nodes/bitmapset.h"
#include "utils/rel.h"

/* A row filter belongs to an action: publications that filter may publish different ones. */
typedef enum FilterAction
{
	FILTER_INSERT,
	FILTER_UPDATE,
	FILTER_DELETE,
	FILTER_ACTIONS
} FilterAction;

typedef struct Published
{
	bool		published;
	PublicationActions actions;
	Oid			publish_as;		/* the relation, or the ancestor under whose name its rows are published */
	Bitmapset  *columns;		/* attribute numbers of publish_as that travel; NULL: all */
	List	   *filters[FILTER_ACTIONS];	/* expressions over publish_as, of which one must hold; NIL: no filter */
} Published;

/*
 * publications: list of Publication *. The rules are those of pgoutput. Allocates in the current memory context; reads
 * catalogs with the snapshot in force.
 */
extern Published find_published(List *publications, Relation relation);

#endif

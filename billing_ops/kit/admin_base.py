"""What every registered admin class stands on: records are read, acts are named, permitted and posted.

* :class:`RecordAdmin` has a list and a page for one record and nothing else: no add, change or delete, no such URLs.
* :func:`act` makes an action. One without ``permissions`` or without a confirming dialog is refused when the class is
  created; a GET shows the dialog and never runs the act.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from django import forms
from django.contrib.admin.checks import ModelAdminChecks
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import action as unfold_action
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

_ACTION_LISTS = ("actions_list", "actions_detail", "actions_row")


class Row(NamedTuple):
    """One labelled value on a record's page; ``numeric`` aligns it right."""

    label: str
    value: Any
    numeric: bool = False


def act(
    *, permissions: Iterable[str], title: str, question: str, submit: str, form_class: type[forms.Form] | None = None
) -> Callable[[Callable[..., HttpResponse]], Any]:
    """Make a method an action of a record: it asks ``question`` in a dialog and runs on POST only.

    ``permissions`` are full names (``"invoicing.replay_stripeevent"``); all are needed. The method receives
    ``(request, form, object_id)`` and returns the response.
    """
    wanted = tuple(permissions)
    if not wanted:
        raise ImproperlyConfigured(f"The act “{title}” names no permission: anybody on the staff could run it.")

    def decorate(function: Callable[..., HttpResponse]) -> Any:
        dialog: dict[str, Any] = {"title": title, "description": question, "form_submit_text": submit}
        if form_class is not None:
            dialog["form_class"] = form_class
        return unfold_action(permissions=wanted, description=title, dialog=dialog)(function)

    return decorate


def _check_acts(admin: type) -> None:
    if tuple(getattr(admin, "actions", None) or ()):
        raise ImproperlyConfigured(f"{admin.__name__}: bulk actions need a dry run and a page of their own.")
    if tuple(getattr(admin, "actions_submit_line", None) or ()):
        raise ImproperlyConfigured(f"{admin.__name__}: a record has no form, so no submit line.")
    for listing in _ACTION_LISTS:
        for entry in getattr(admin, listing, None) or ():
            for name in entry["items"] if isinstance(entry, Mapping) else (entry,):
                method = getattr(admin, name, None)
                if not getattr(method, "allowed_permissions", None):
                    raise ImproperlyConfigured(f"{admin.__name__}.{name}: an action without permissions is refused.")
                if getattr(method, "dialog", None) is None:
                    raise ImproperlyConfigured(f"{admin.__name__}.{name}: an action without a dialog would run on GET.")


class RecordList(ChangeList):  # type: ignore[misc]  # unfold has no types
    """A list whose rows lead to the record's own page, when it has one."""

    def get_filters(self, request: HttpRequest) -> tuple[Any, ...]:
        """Django's own, after refusing what no filter asks for and no text can be: the list opens without filters."""
        asked = [(name, value) for name, values in self.filter_params.items() for value in values]
        if any("\0" in value or not self.model_admin.lookup_allowed(name, value, request) for name, value in asked):
            raise IncorrectLookupParameters
        found: tuple[Any, ...] = super().get_filters(request)
        return found

    def url_for_result(self, result: Model) -> str:
        page = self.model_admin.page_url_name
        if page:
            return reverse(page, args=[result.pk])
        return str(super().url_for_result(result))


class RecordAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """A list of records and a page for each, for whoever may view the model; nothing can be edited here.

    ``record_fields`` names fields, methods of the admin or of the model, in the order they are shown. ``big`` lists
    are paged without counting. ``page_url_name`` leads to a page of its own instead (``"admin:console_customer"``).
    """

    record_fields: ClassVar[tuple[str, ...]] = ()
    record_template: ClassVar[str] = "console/record.html"
    page_url_name: ClassVar[str | None] = None
    list_title: ClassVar[str] = ""
    list_note: ClassVar[str] = ""
    empty_hint: ClassVar[str] = ""
    big: ClassVar[bool] = False

    # Not the theme's checks: they ask the database for permissions, before the first migration has made them.
    checks_class = ModelAdminChecks

    list_per_page = 50
    list_max_show_all = 50
    show_full_result_count = False
    show_facets = 0  # ShowFacets.NEVER: facets count the whole table
    actions = ()
    list_filter_sheet = True
    compressed_fields = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_acts(cls)
        if cls.big:
            cls.paginator = InfinitePaginator

    # Nobody edits a record here; acts have their own permissions.
    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @property
    def media(self) -> forms.Media:
        """No scripts: there is nothing to edit."""
        return forms.Media()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """What the list's own filters ask for, and nothing else that an address can spell (patterns, other tables)."""
        return lookup in self._lookups()

    def _lookups(self) -> Iterator[str]:
        for entry in self.list_filter:
            if not isinstance(entry, str):
                yield entry.parameter_name
                continue
            target = getattr(self.model._meta.get_field(entry), "target_field", None)
            yield from (entry, f"{entry}__exact", f"{entry}__isnull")
            if target is not None:
                yield f"{entry}__{target.name}__exact"

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RecordList

    def get_urls(self) -> list[URLPattern]:
        """The list, the record and the acts; the parent's add, delete, history and autocomplete stay unreachable."""
        meta = self.model._meta
        prefix = f"{meta.app_label}_{meta.model_name}"
        kept = {f"{prefix}_changelist", f"{prefix}_change"}
        for listing in _ACTION_LISTS:
            kept |= {f"{prefix}_{name}" for name in self._extract_action_names(getattr(self, listing))}
        return [pattern for pattern in super().get_urls() if getattr(pattern, "name", None) in kept]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        context = {"title": self._list_title(), **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The record's page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        record = self.get_object(request, object_id)
        if record is None:
            raise Http404(f"No {self.model._meta.verbose_name} {object_id}")
        if self.page_url_name:
            return redirect(self.page_url_name, record.pk)
        meta = self.model._meta
        context = {
            **self.admin_site.each_context(request),
            "opts": meta,
            "title": str(record),
            "record": record,
            "rows": self.rows(record),
            "breadcrumbs": [
                {
                    "title": self._list_title(),
                    "url": reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"),
                }
            ],
            "actions_detail": self._get_actions_navigation(
                self.actions_detail, self.get_actions_detail(request, object_id), object_id
            ),
            **self.record_context(request, record),
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.record_template, context)

    def _list_title(self) -> str:
        return self.list_title or str(self.model._meta.verbose_name_plural).capitalize()

    def record_context(self, request: HttpRequest, record: Any) -> dict[str, Any]:
        """More for the record's template; override."""
        return {}

    def rows(self, record: Any) -> list[Row]:
        """The labelled values of ``record_fields`` (every column when none are named)."""
        names = self.record_fields or tuple(field.name for field in self.model._meta.fields)
        return [self._row(record, name) for name in names]

    def _row(self, record: Any, name: str) -> Row:
        method = getattr(self, name, None)
        if callable(method):
            label = getattr(method, "short_description", name.replace("_", " "))
            return Row(str(label), method(record))
        value = getattr(record, f"get_{name}_display", None)
        shown = value() if callable(value) else getattr(record, name)
        if callable(shown):
            shown = shown()
        try:
            label = self.model._meta.get_field(name).verbose_name
        except FieldDoesNotExist:
            label = name.replace("_", " ")
        return Row(str(label), shown)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset: QuerySet[Any] = super().get_queryset(request)
        return queryset


def linked(url_name: str, pk: Any, text: str) -> str:
    """A link to a console page, or the plain text where that page does not exist."""
    try:
        return format_html('<a href="{}">{}</a>', reverse(url_name, args=[pk]), text)
    except NoReverseMatch:
        return text


def badge(text: str, tone: str = "") -> str:
    """A small label; ``tone`` is ``good``, ``warn``, ``bad`` or nothing."""
    return format_html('<span class="bo-badge{}">{}</span>', f" bo-{tone}" if tone else "", text)


def right(text: str) -> str:
    """A figure in a list: tabular digits, aligned right."""
    return format_html('<span class="bo-num">{}</span>', text)

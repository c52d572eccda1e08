"""The search page: asks :mod:`billing_ops.console.search` and shows what it found."""

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect

from billing_ops.console.frame import show
from billing_ops.console.search import MAX_RESULTS, find


def search_page(request: HttpRequest) -> HttpResponse:
    """Results of the one search box. One exact hit opens its page at once."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    query = request.GET.get("q", "").strip()[:200]
    found = find(query, request.user) if query else []
    exact = [hit for hit in found if hit.exact]
    if len(exact) == 1:
        return redirect(exact[0].url)
    context = {"title": "Search", "search_query": query, "results": found, "capped": len(found) >= MAX_RESULTS}
    return show(request, "console/search.html", context)

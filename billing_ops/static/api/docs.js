// Starts Swagger UI. A file of its own, since the Content-Security-Policy lets no inline script run.
const place = document.getElementById("swagger-ui");
SwaggerUIBundle({
  url: place.dataset.openapiUrl,
  domNode: place,
  deepLinking: true,
  persistAuthorization: false, // a key typed here is forgotten with the page
  displayRequestDuration: true,
  validatorUrl: null, // Swagger's default asks another host
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});

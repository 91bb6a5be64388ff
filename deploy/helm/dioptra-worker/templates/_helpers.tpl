{{- define "dioptra-worker.labels" -}}
app.kubernetes.io/name: dioptra-worker
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dioptra-worker.name" -}}
{{ .Release.Name }}-worker
{{- end }}

{{- define "dioptra-worker.secret" -}}
{{ .Values.secret.existing | default (include "dioptra-worker.name" .) }}
{{- end }}

{{/* One worker's pod; of a dictionary with root, name, worker, once. */}}
{{- define "dioptra-worker.pod" -}}
{{- $root := .root }}
{{- $worker := .worker }}
{{- $secret := include "dioptra-worker.secret" $root }}
metadata:
  labels:
    {{- include "dioptra-worker.labels" $root | nindent 4 }}
    queue: {{ .name }}
spec:
  {{- if .once }}
  restartPolicy: Never
  {{- end }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # Longer than the grace for jobs, and what killing one takes.
  terminationGracePeriodSeconds: {{ add $root.Values.shutdownGrace 60 }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 39000
    runAsGroup: 100
    fsGroup: 100
    seccompProfile: {type: RuntimeDefault}
  {{- with $worker.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $worker.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $worker.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: worker
      image: {{ printf "%s%s" $root.Values.imagePrefix $worker.image }}{{ with $root.Values.imageTag }}:{{ . }}{{ end }}
      args:
        {{- if .once }}
        - --burst
        - --max-jobs
        - "1"
        {{- end }}
        {{- range $worker.queues }}
        - {{ . | quote }}
        {{- end }}
      envFrom:
        - configMapRef: {name: {{ include "dioptra-worker.name" $root }}}
      # Not as files: plugins run as the worker's user and could read those. The worker
      # closes its environment to them, and jobs do not inherit the first two.
      env:
        - name: DIOPTRA_WORKER_PASSWORD
          valueFrom:
            secretKeyRef: {name: {{ $secret }}, key: worker-password}
        - name: RQ_REDIS_URI
          valueFrom:
            secretKeyRef: {name: {{ $secret }}, key: redis-uri}
        - name: AWS_ACCESS_KEY_ID
          valueFrom:
            secretKeyRef: {name: {{ $secret }}, key: store-access-key}
        - name: AWS_SECRET_ACCESS_KEY
          valueFrom:
            secretKeyRef: {name: {{ $secret }}, key: store-secret-key}
        {{- range $key, $value := $worker.settings }}
        - name: {{ $key }}
          value: {{ $value | quote }}
        {{- end }}
      {{- if not .once }}
      ports:
        - {name: health, containerPort: {{ $root.Values.healthPort }}}
      # A worker that waits for a service is alive and not ready: a restart would not help.
      livenessProbe:
        httpGet: {path: /livez, port: health}
        periodSeconds: 15
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: health}
        periodSeconds: 15
        timeoutSeconds: 5
      startupProbe:
        httpGet: {path: /livez, port: health}
        periodSeconds: 5
        failureThreshold: 60
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- $resources := deepCopy ($worker.resources | default dict) }}
        {{- with $worker.gpus }}
        {{- $limits := merge (dict "nvidia.com/gpu" (toString .)) ($resources.limits | default dict) }}
        {{- $_ := set $resources "limits" $limits }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      volumeMounts:
        - {name: work, mountPath: /work}
        - {name: temporary, mountPath: /tmp}
  volumes:
    - {name: work, emptyDir: {sizeLimit: {{ $worker.workSize | default "20Gi" }}}}
    - {name: temporary, emptyDir: {sizeLimit: {{ $worker.temporarySize | default "5Gi" }}}}
{{- end }}

{{/* What counts the jobs that wait; of a dictionary with root and worker. */}}
{{- define "dioptra-worker.triggers" -}}
{{- $root := .root }}
{{- range .worker.queues }}
- type: redis
  metadata:
    address: {{ $root.Values.keda.redis }}
    listName: {{ printf "rq:queue:%s" . | quote }}
    listLength: "1"
  authenticationRef: {name: {{ $root.Release.Name }}-queue}
{{- end }}
{{- end }}
